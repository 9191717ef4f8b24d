"""Where a merchant is paid: added with a cooling-off time, never edited, revoked.

A destination becomes active by the passing of time alone: ``active_at`` decides,
so that no job has to run for it. Which of several is paid is settlement's to
choose (:mod:`settlement.planning`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from config.errors import InvalidInputError, NotFoundError
from config.units import ZERO_ADDRESS, Address, checksum
from ledger.bulk import select_in
from ledger.outbox import NewEvent, emit
from ledger.payouts import PayoutMove, move_payouts, unsent_payouts
from ledger.runs import destinations_of, merchant_balances
from ledger.schema import deposit_addresses, payout_destinations, payouts
from ledger.sql import as_row
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row, view_destination

REVOKED: Final = "its payout destination was revoked"


@dataclass(frozen=True, slots=True)
class NewDestination:
    """``token`` is ``None`` for every token of the chain."""

    chain: str
    token: str | None
    address: Address


async def create_destination(
    tx: Tx,
    merchant_id: str,
    new: NewDestination,
    *,
    cooling_off: timedelta,
    refused: Collection[Address],
    approval: bool = False,
) -> dict[str, Any]:
    """Add a payout address; money goes there once ``cooling_off`` has passed.

    :param approval: a second person lets it be used, instead of time.
    :param refused: the house's own addresses (treasury, sponsors, helper contracts).
    :raises InvalidInputError: the address cannot be meant.
    """
    await check_address(tx, new.address, refused)
    destination_id = tx.new_id("pd")
    await tx.conn.execute(
        payout_destinations.insert().values(
            id=destination_id,
            merchant_id=merchant_id,
            chain=new.chain,
            token=new.token,
            address=new.address,
            status="pending_approval" if approval else "cooling_off" if cooling_off else "active",
            created_at=tx.now,
            active_at=tx.now if approval else tx.now + cooling_off,
        )
    )
    view = await get_destination(tx, merchant_id, destination_id)
    await emit(tx, [NewEvent(merchant_id, "destination.created", destination_id, view)])
    return view


async def check_address(tx: Tx, address: Address, refused: Collection[Address]) -> None:
    """Refuse what no money may be sent to.

    :raises InvalidInputError: zero, a token's contract, one of ours, a deposit address.
    """
    reason = None
    if address == ZERO_ADDRESS:
        reason = "the zero address is nobody's"
    elif any(token.address == address for token in tx.catalogue):
        reason = "is a token's contract: what is sent there is lost"
    elif address in refused:
        reason = "belongs to this installation (treasury, sponsor or helper contract)"
    elif await tx.conn.scalar(
        sa.select(deposit_addresses.c.address).where(deposit_addresses.c.address == address)
    ):
        reason = "is a deposit address of an invoice"
    if reason:
        raise InvalidInputError(
            f"{checksum(address)} {reason}", where="address", remedy="give an address of your own"
        )


async def get_destination(tx: Tx, merchant_id: str, destination_id: str) -> dict[str, Any]:
    """:raises NotFoundError: no such destination of this merchant."""
    query = sa.select(payout_destinations).where(
        payout_destinations.c.id == destination_id,
        payout_destinations.c.merchant_id == merchant_id,
    )
    row = (await tx.conn.execute(query)).first()
    if row is None:
        raise NotFoundError(f"no payout destination {destination_id}")
    return view_destination(as_row(row), tx.now)


async def revoke_destination(tx: Tx, merchant_id: str, destination_id: str) -> dict[str, Any]:
    """Pay nothing there any more; payouts already sealed go on, once. Again: no change.

    Those in no batch are canceled, and those that come back from theirs by
    :func:`cancel_revoked`: their money is available again, for the destination that the next
    run finds. Refunds stay: they name their address themselves.

    :raises NotFoundError: no such destination of this merchant.
    """
    changed = await tx.conn.execute(
        payout_destinations.update()
        .where(
            payout_destinations.c.id == destination_id,
            payout_destinations.c.merchant_id == merchant_id,
            payout_destinations.c.revoked_at.is_(None),
        )
        .values(status="revoked", revoked_at=tx.now)
    )
    view = await get_destination(tx, merchant_id, destination_id)
    if changed.rowcount:
        await emit(tx, [NewEvent(merchant_id, "destination.revoked", destination_id, view)])
        await _cancel_unsent(tx, merchant_id, destination_id)
    return view


async def _cancel_unsent(tx: Tx, merchant_id: str, destination_id: str) -> None:
    """Payouts on their way to no batch yet, and to an address that nothing else names."""
    # A run holds these accounts from before it reads the destinations until it has promised:
    # either it has read that this one is revoked, or what it promised is seen below.
    await merchant_balances(tx, [merchant_id], lock=True)
    query = sa.select(payout_destinations).where(payout_destinations.c.id == destination_id)
    gone = (await tx.conn.execute(query)).one()
    others = [
        (d.chain, d.token)
        for d in await destinations_of(tx, [merchant_id])
        if d.address == gone.address and _in_use(d.status, d.active_at, tx.now)
    ]
    for chain, token in await _unsent_places(tx, merchant_id, gone.address):
        named = (chain, None) in others or (chain, token) in others
        if chain != gone.chain or gone.token not in {None, token} or named:
            continue
        found = await unsent_payouts(tx, merchant_id, chain, token)
        rows = [row for row in found if _goes_to(row, gone.address)]
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.CANCELED, REVOKED) for row in rows])


async def revoked_among(tx: Tx, rows: Sequence[Row]) -> set[str]:
    """Ids of the payouts whose destination was revoked, and that no other one in use names.

    A revocation cancels what is in no batch. What was sealed then, and came back from its
    batch since, is found here. Refunds name their address themselves.
    """
    back = [row for row in rows if row["attempt"] and row["kind"] == "settlement"]
    table = payout_destinations
    names = ("merchant_id", "chain", "address", "token", "status", "active_at")
    columns = [table.c[name] for name in names]
    merchants = sorted({row["merchant_id"] for row in back})
    known = await select_in(tx, sa.select(*columns), table.c.merchant_id, merchants)
    return {row["id"] for row in back if _is_revoked(row, known, tx.now)}


def _is_revoked(row: Row, known: Sequence[Row], now: datetime) -> bool:
    place = ("merchant_id", "chain", "address")
    naming = [
        destination
        for destination in known
        if all(destination[name] == row[name] for name in place)
        and destination["token"] in {None, row["token"]}
    ]
    used = any(_in_use(one["status"], one["active_at"], now) for one in naming)
    return not used and any(one["status"] == "revoked" for one in naming)


def _in_use(status: str, active_at: datetime, now: datetime) -> bool:
    """Whether it may be paid to: approved, and cooled off."""
    return status not in {"revoked", "pending_approval"} and active_at <= now


async def cancel_revoked(tx: Tx, rows: Sequence[Row]) -> None:
    """Cancel these of :func:`revoked_among`, locked: their money is available again."""
    gone = await revoked_among(tx, rows)
    moves = [
        PayoutMove(row, PayoutStatus.CANCELED, REVOKED)
        for row in rows
        if row["id"] in gone and row["status"] == PayoutStatus.QUEUED
    ]
    await move_payouts(tx, moves)


def _goes_to(row: Row, address: bytes) -> bool:
    return bool(row["kind"] == "settlement" and row["address"] == address)


async def _unsent_places(tx: Tx, merchant_id: str, address: bytes) -> list[tuple[str, str]]:
    query = sa.select(payouts.c.chain, payouts.c.token).where(
        payouts.c.merchant_id == merchant_id,
        payouts.c.address == address,
        payouts.c.status.in_(("queued", "on_hold", "pending_approval")),
    )
    return sorted({(row.chain, row.token) for row in await tx.conn.execute(query)})
