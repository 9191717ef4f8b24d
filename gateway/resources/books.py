"""An operator's postings over HTTP: what nothing explains, losses, and what merchants owe."""

from __future__ import annotations

from typing import Final

from config.errors import InvalidInputError, NotFoundError
from config.money import format_amount, parse_units
from gateway import answers
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import ResolveRequest, WriteOffRequest
from ledger.receivables import Debt, open_debts, owed_by, write_off
from ledger.store import Tx
from ledger.suspense import Resolve, Suspended, decimals_of, resolve, suspended
from ledger.views import view_time

ACTOR: Final = "admin"


async def list_suspense(call: Call) -> JsonObject:
    """Every account with something on it, and the postings that put it there."""
    async with call.deps.ledger.reading() as tx:
        return {"data": [view_suspended(row) for row in await suspended(tx)], "next_cursor": None}


def view_suspended(row: Suspended) -> JsonObject:
    """As the API and ``bursar books suspense --json`` give it."""
    return {
        "side": row.side,
        "chain": row.chain,
        "token": row.token,
        "amount": format_amount(row.amount, row.decimals),
        "entries": [
            {
                "posting": entry.posting,
                "amount": format_amount(entry.amount, row.decimals),
                "reason": entry.reason,
                "at": view_time(entry.at),
                "tx_hash": entry.tx_hash,
            }
            for entry in row.entries
        ],
    }


async def resolve_suspense(call: Call, tx: Tx) -> JsonObject:
    """Say what it was."""
    given = call.given(ResolveRequest)
    places = _decimals(call, given.chain, given.token)
    asked = Resolve(
        given.side,
        given.chain,
        given.token,
        given.to,
        None if given.amount is None else _units(given.amount, places),
        ACTOR,
        given.reason,
        given.merchant,
    )
    try:
        done = await resolve(tx, asked)
    except NotFoundError as error:
        raise InvalidInputError(error.what, where="merchant") from None
    return {
        "posting": done.posting,
        "side": given.side,
        "chain": given.chain,
        "token": given.token,
        "to": given.to,
        "amount": format_amount(done.amount, places),
        "left": format_amount(done.left, places),
    }


async def list_receivables(call: Call) -> JsonObject:
    """What merchants owe for payments that were taken back."""
    async with call.deps.ledger.reading() as tx:
        found = await open_debts(tx)
    rows = [
        {
            "merchant": debt.merchant_id,
            "chain": debt.chain,
            "token": debt.token,
            "amount": format_amount(debt.amount, token.decimals),
        }
        for debt in found
        # A token that is configured no more has no decimals to show it with.
        if (token := call.deps.catalogue.find_token(debt.chain, debt.token)) is not None
    ]
    return {"data": rows, "next_cursor": None}


async def write_off_debt(call: Call, tx: Tx) -> JsonObject:
    """Give a debt, or a part of it, up as a loss."""
    given = call.given(WriteOffRequest)
    places = _decimals(call, given.chain, given.token)
    owed = await owed_by(tx, given.merchant, given.chain, given.token)
    if not owed:
        raise InvalidInputError("owes nothing in this token", where="merchant")
    units = owed if given.amount is None else _units(given.amount, places)
    debt = Debt(given.merchant, given.chain, given.token, units)
    left = await write_off(tx, debt, actor=ACTOR, reason=given.reason)
    return {
        "merchant": given.merchant,
        "chain": given.chain,
        "token": given.token,
        "amount": format_amount(units, places),
        "left": format_amount(left, places),
    }


def _decimals(call: Call, chain: str, token: str) -> int:
    try:
        call.deps.catalogue.chain(chain)
    except NotFoundError as error:
        raise InvalidInputError(error.what, where="chain", remedy=error.remedy) from None
    try:
        return decimals_of(call.deps.catalogue, chain, token)
    except NotFoundError as error:
        raise InvalidInputError(error.what, where="token", remedy=error.remedy) from None


def _units(text: str, places: int) -> int:
    try:
        return parse_units(text, places)
    except ValueError as error:
        raise InvalidInputError(str(error), where="amount") from None


OPERATIONS: Final = (
    Operation(
        "listSuspense",
        "GET",
        "/v1/admin/suspense",
        "admin",
        "What nothing explains yet, and losses",
        "books",
        answers.Suspended,
        read=list_suspense,
        many=True,
    ),
    Operation(
        "resolveSuspense",
        "POST",
        "/v1/admin/suspense/resolve",
        "admin",
        "Say what something in suspense, or a loss, was",
        "books",
        answers.ResolvedSuspense,
        write=resolve_suspense,
        body=ResolveRequest,
    ),
    Operation(
        "listReceivables",
        "GET",
        "/v1/admin/receivables",
        "admin",
        "What merchants owe",
        "books",
        answers.Receivable,
        read=list_receivables,
        many=True,
    ),
    Operation(
        "writeOff",
        "POST",
        "/v1/admin/receivables/write-off",
        "admin",
        "Give a merchant's debt up as a loss",
        "books",
        answers.WrittenOff,
        write=write_off_debt,
        body=WriteOffRequest,
    ),
)
