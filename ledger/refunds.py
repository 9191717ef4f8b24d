"""Refunds: payouts to a payer's address, out of what an invoice brought in.

A refund never exceeds what its invoice received in that token on that chain, nor
what its merchant has available; both are checked while the invoice's row is
locked, so that two at once cannot exceed it together. The address is given,
never taken from the payment: an exchange's hot wallet is nobody's to refund to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError, InvalidInputError, NotFoundError
from config.money import format_amount, parse_units
from config.units import Address
from ledger.destinations import check_address
from ledger.limits import (
    Limits,
    Promised,
    day_of,
    lock_promises,
    names_limit,
    promised_today,
    promises_of,
)
from ledger.listing import Page, PageQuery, find_payout, page_of_payouts
from ledger.payouts import NewPayout, PayoutMove, create_payouts, lock_payouts, move_payouts
from ledger.receivables import owed_by
from ledger.refunded import UNSENT, Place, received_by, refunded_of
from ledger.schema import invoices, payout_destinations, payouts
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row

COOLING_OFF: Final = "refund address is cooling off"
NEEDS_APPROVAL: Final = "refund waits for approval"


@dataclass(frozen=True, slots=True)
class NewRefund:
    """What a merchant asks for; ``amount`` in whole units, ``None``: all that is left."""

    invoice_id: str
    address: Address
    amount: str | None = None
    chain: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class RefundPolicy:
    """When a refund may leave.

    :param cooling_off: for an address that is no active payout destination of the merchant.
    :param approval: a second person lets it go, instead of time.
    :param refused: the house's own addresses.
    :param limits: beyond which it waits on hold for an operator.
    """

    cooling_off: timedelta
    approval: bool
    refused: Collection[Address]
    limits: Limits = field(default_factory=Limits)


def refundable(received: dict[Place, int], refunded: dict[Place, int]) -> dict[Place, int]:
    """Base units that may still be refunded; places with nothing left are left out. Pure."""
    left = {place: total - refunded.get(place, 0) for place, total in received.items()}
    return {place: amount for place, amount in left.items() if amount > 0}


def choose_place(left: Sequence[Place], chain: str | None, token: str | None) -> Place:
    """The one place that fits what was asked. Pure.

    :raises InvalidInputError: several fit, or none.
    """
    fitting = [p for p in left if chain in {None, p[0]} and token in {None, p[1]}]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{symbol} on {name}" for name, symbol in sorted(left))
    if not fitting:
        raise InvalidInputError(
            "nothing of this invoice is left to refund" + (f" there: {known}" if known else ""),
            where="invoice",
            remedy="only confirmed payments that are not refunded yet count",
        )
    raise InvalidInputError(
        f"was paid in several ways: {known}", where="invoice", remedy="give chain and token"
    )


async def create_refund(
    tx: Tx, merchant_id: str, new: NewRefund, policy: RefundPolicy
) -> dict[str, Any]:
    """Reserve the money and promise the refund; returns it as its GET gives it.

    :raises NotFoundError: no such invoice of this merchant.
    :raises InvalidInputError: address, amount, chain or token cannot be meant.
    :raises ConflictError: the merchant has too little available, or owes.
    """
    if policy.limits.count_days:
        await lock_promises(tx)
    await _lock_invoice(tx, merchant_id, new.invoice_id)
    await check_address(tx, new.address, policy.refused)
    left = refundable(await received_by(tx, new.invoice_id), await refunded_of(tx, new.invoice_id))
    chain, token = choose_place(list(left), new.chain, new.token)
    amount = _amount(tx, new.amount, chain, token, left[chain, token])
    if await owed_by(tx, merchant_id, chain, token):
        raise ConflictError(
            "the merchant owes for a payment that was taken back", remedy="wait for new income"
        )
    trusted = await _is_destination(tx, merchant_id, chain, token, new.address)
    cools = bool(policy.cooling_off) and not trusted and not policy.approval
    waits = NEEDS_APPROVAL if policy.approval else COOLING_OFF if cools else None
    place = (chain, token)
    over = (await _promised(tx, policy.limits)).exceeded(policy.limits, merchant_id, place, amount)
    made = NewPayout(
        merchant_id,
        chain,
        token,
        amount,
        new.address,
        kind="refund",
        # Whoever approves decides about the limit too; time alone asks for it once more.
        reason=", ".join(filter(None, (waits, over))) or None,
        waits=waits is not None,
        not_before=tx.now + policy.cooling_off if cools else None,
        invoice_id=new.invoice_id,
    )
    (refund_id,) = await create_payouts(tx, [made])
    view = await find_payout(tx, merchant_id, refund_id)
    assert view is not None
    return view


async def _lock_invoice(tx: Tx, merchant_id: str, invoice_id: str) -> None:
    query = sa.select(invoices.c.id).where(
        invoices.c.id == invoice_id, invoices.c.merchant_id == merchant_id
    )
    if await tx.conn.scalar(query.with_for_update()) is None:
        raise InvalidInputError("there is no such invoice", where="invoice")


def _amount(tx: Tx, text: str | None, chain: str, token: str, most: int) -> int:
    known = tx.catalogue.find_token(chain, token)
    if known is None:
        raise InvalidInputError(
            f"{token} on {chain} is not configured any more", where="token", remedy="configure it"
        )
    if text is None:
        return most
    try:
        amount = parse_units(text, known.decimals)
    except ValueError as error:
        raise InvalidInputError(str(error), where="amount") from None
    if not 0 < amount <= most:
        raise InvalidInputError(
            f"at most {format_amount(most, known.decimals)} {token} can still be refunded",
            where="amount",
        )
    return int(amount)


async def _is_destination(
    tx: Tx, merchant_id: str, chain: str, token: str, address: Address
) -> bool:
    table = payout_destinations
    query = sa.select(table.c.id).where(
        table.c.merchant_id == merchant_id,
        table.c.chain == chain,
        sa.or_(table.c.token.is_(None), table.c.token == token),
        table.c.address == address,
        table.c.status.in_(("cooling_off", "active")),
        table.c.active_at <= tx.now,
    )
    return await tx.conn.scalar(query) is not None


async def find_refund(tx: Tx, merchant_id: str, refund_id: str) -> dict[str, Any]:
    """:raises NotFoundError: no such refund of this merchant."""
    view = await find_payout(tx, merchant_id, refund_id)
    if view is None or view["kind"] != "refund":
        raise NotFoundError(f"no refund {refund_id}")
    return view


async def list_refunds(
    tx: Tx, merchant_id: str, asked: PageQuery, invoice_id: str | None = None
) -> Page:
    """Refunds, newest first."""
    query = sa.select(payouts).where(
        payouts.c.merchant_id == merchant_id, payouts.c.kind == "refund"
    )
    if invoice_id is not None:
        query = query.where(payouts.c.invoice_id == invoice_id)
    return await page_of_payouts(tx, query, asked)


async def cancel_refund(tx: Tx, merchant_id: str, refund_id: str) -> dict[str, Any]:
    """Take a refund back that is in no batch yet; again: no change.

    :raises NotFoundError: no such refund of this merchant.
    :raises ConflictError: it is on its way.
    """
    await find_refund(tx, merchant_id, refund_id)
    (row,) = await lock_payouts(tx, [refund_id])
    if row["status"] != PayoutStatus.CANCELED:
        if row["status"] not in UNSENT:
            raise ConflictError(f"the refund is {row['status']} and cannot be taken back")
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.CANCELED, "canceled by the merchant")])
    return await find_refund(tx, merchant_id, refund_id)


async def _promised(tx: Tx, limits: Limits) -> Promised:
    return await promised_today(tx) if limits.count_days else Promised()


async def release_cooled(tx: Tx, limits: Limits | None = None) -> list[Row]:
    """Queue what waited for time alone and has waited long enough; returns their rows.

    What is over a limit goes on hold at once. What was within those of its day has counted for
    that day ever since: what was promised after it takes no room from it.
    """
    query = sa.select(payouts.c.id).where(
        payouts.c.status == PayoutStatus.PENDING_APPROVAL.value, payouts.c.not_before <= tx.now
    )
    ids = list((await tx.conn.execute(query.limit(1000))).scalars())
    rows = [r for r in await lock_payouts(tx, ids) if r["status"] == PayoutStatus.PENDING_APPROVAL]
    await move_payouts(tx, [PayoutMove(row, PayoutStatus.QUEUED) for row in rows])
    held = await _over_limits(tx, rows, limits or Limits())
    fresh = {row["id"]: row for row in await lock_payouts(tx, list(held))}
    await move_payouts(
        tx, [PayoutMove(fresh[i], PayoutStatus.ON_HOLD, why) for i, why in held.items()]
    )
    return rows


async def _over_limits(tx: Tx, rows: Sequence[Row], limits: Limits) -> dict[str, str]:
    """The limit that each of these breaks, by id; of a day: of that on which it was promised."""
    found: dict[str, str] = {}
    for day in sorted({day_of(row["created_at"]) for row in rows}):
        cooled = {row["id"]: row for row in rows if day_of(row["created_at"]) == day}
        # Others have had the room since that these did not find: they come last.
        without = {i for i, row in cooled.items() if names_limit(row["reason"])}
        promised = Promised()
        for one in sorted(await promises_of(tx, day), key=lambda one: (one.id in without, one.id)):
            place = (one.chain, one.token)
            over = promised.exceeded(limits, one.merchant_id, place, one.amount)
            if one.id in cooled and over is not None:
                found[one.id] = over
            else:
                promised.add(one.merchant_id, place, one.amount)
    return found
