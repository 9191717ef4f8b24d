"""Refunds."""

from __future__ import annotations

from typing import Final

from config.errors import InvalidInputError, NotFoundError
from config.ids import is_id
from config.units import Address
from gateway import answers
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import Empty, NewRefund, RefundPage
from ledger import refunds
from ledger.limits import limits_of
from ledger.store import Tx


async def create(call: Call, tx: Tx) -> JsonObject:
    """Give back what an invoice brought in, or a part of it."""
    given = call.given(NewRefund)
    if not is_id(given.invoice, "inv"):
        raise InvalidInputError("there is no such invoice", where="invoice")
    security = call.deps.settings.security
    return await refunds.create_refund(
        tx,
        call.merchant_id,
        refunds.NewRefund(
            given.invoice, Address(given.address), given.amount, _chain(call, given), given.token
        ),
        refunds.RefundPolicy(
            security.destination_cooling_off,
            security.approve_refunds,
            call.deps.refused,
            limits_of(call.deps.settings.settlement, call.deps.catalogue),
        ),
    )


def _chain(call: Call, given: NewRefund) -> str | None:
    if given.chain is None:
        return None
    try:
        return call.deps.catalogue.chain(given.chain).name
    except NotFoundError as error:
        raise InvalidInputError(error.what, where="chain", remedy=error.remedy) from None


async def get(call: Call) -> JsonObject:
    """One refund."""
    async with call.deps.ledger.reading() as tx:
        return await refunds.find_refund(tx, call.merchant_id, call.path_id("po"))


async def list_own(call: Call) -> JsonObject:
    """Refunds, newest first."""
    asked = call.asked(RefundPage)
    async with call.deps.ledger.reading() as tx:
        data, cursor = await refunds.list_refunds(
            tx, call.merchant_id, asked.asked(), asked.invoice
        )
    return {"data": data, "next_cursor": cursor}


async def cancel(call: Call, tx: Tx) -> JsonObject:
    """Take back a refund that is not on its way."""
    return await refunds.cancel_refund(tx, call.merchant_id, call.path_id("po"))


OPERATIONS: Final = (
    Operation(
        "createRefund",
        "POST",
        "/v1/refunds",
        "merchant",
        "Refund an invoice, in whole or in part",
        "refunds",
        answers.Payout,
        write=create,
        status=201,
        body=NewRefund,
    ),
    Operation(
        "listRefunds",
        "GET",
        "/v1/refunds",
        "merchant",
        "List refunds",
        "refunds",
        answers.Payout,
        read=list_own,
        many=True,
        query=RefundPage,
    ),
    Operation(
        "getRefund",
        "GET",
        "/v1/refunds/{id}",
        "merchant",
        "One refund",
        "refunds",
        answers.Payout,
        read=get,
    ),
    Operation(
        "cancelRefund",
        "POST",
        "/v1/refunds/{id}/cancel",
        "merchant",
        "Take back a refund that is not on its way",
        "refunds",
        answers.Payout,
        write=cancel,
        body=Empty,
    ),
)
