"""Payout destinations."""

from __future__ import annotations

from typing import Final

from config.errors import InvalidInputError, NotFoundError
from config.units import Address
from gateway import answers
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import DestinationPage, NewDestination
from ledger import destinations
from ledger.listing import list_destinations
from ledger.store import Tx


async def create(call: Call, tx: Tx) -> JsonObject:
    """Add a payout address; it is paid once its cooling-off time has passed."""
    given = call.given(NewDestination)
    try:
        chain = call.deps.catalogue.chain(given.chain)
    except NotFoundError as error:
        raise InvalidInputError(error.what, where="chain", remedy=error.remedy) from None
    payable = {token.symbol for token in call.deps.catalogue.payable_tokens(chain.name)}
    if given.token is not None and given.token not in payable:
        raise InvalidInputError(
            f"{given.token!r} is not paid out on {chain.name}",
            where="token",
            remedy="known: " + ", ".join(sorted(payable)),
        )
    return await destinations.create_destination(
        tx,
        call.merchant_id,
        destinations.NewDestination(chain.name, given.token, Address(given.address)),
        cooling_off=call.deps.settings.security.destination_cooling_off,
        refused=call.deps.refused,
        approval=call.deps.settings.security.approve_destinations,
    )


async def get(call: Call) -> JsonObject:
    """One destination."""
    async with call.deps.ledger.reading() as tx:
        return await destinations.get_destination(tx, call.merchant_id, call.path_id("pd"))


async def list_own(call: Call) -> JsonObject:
    """All destinations, revoked ones too."""
    page = call.asked(DestinationPage).asked()
    async with call.deps.ledger.reading() as tx:
        data, cursor = await list_destinations(tx, call.merchant_id, page)
    return {"data": data, "next_cursor": cursor}


async def revoke(call: Call, tx: Tx) -> JsonObject:
    """Pay nothing there any more."""
    return await destinations.revoke_destination(tx, call.merchant_id, call.path_id("pd"))


_PATH: Final = "/v1/payout-destinations"
OPERATIONS: Final = (
    Operation(
        "createPayoutDestination",
        "POST",
        _PATH,
        "merchant",
        "Add a payout address",
        "payout destinations",
        answers.Destination,
        write=create,
        status=201,
        body=NewDestination,
    ),
    Operation(
        "listPayoutDestinations",
        "GET",
        _PATH,
        "merchant",
        "List payout addresses",
        "payout destinations",
        answers.Destination,
        read=list_own,
        many=True,
        query=DestinationPage,
    ),
    Operation(
        "getPayoutDestination",
        "GET",
        _PATH + "/{id}",
        "merchant",
        "One payout address",
        "payout destinations",
        answers.Destination,
        read=get,
    ),
    Operation(
        "revokePayoutDestination",
        "DELETE",
        _PATH + "/{id}",
        "merchant",
        "Revoke a payout address",
        "payout destinations",
        answers.Destination,
        write=revoke,
    ),
)
