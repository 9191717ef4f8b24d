"""Deposit addresses that serve again: which are free, and whose a payment is by its block's time.

An address has one invoice at a time. When it is given to another one of the same
merchant, the earlier assignment is kept with the time at which it ended; a payment
belongs to the invoice that had the address when its block was made, whenever it is read.

Everything here happens under the row lock of the address counter, which every hand-out
takes first and holds until its commit: two processes cannot give the same address.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address
from ledger.bulk import Insert, Update, write_all
from ledger.schema import (
    audit_findings,
    chain_cursors,
    deposit_addresses,
    earlier_assignments,
    holds,
    invoice_options,
    invoices,
    payments,
    sweep_items,
)
from ledger.sql import chunked
from ledger.store import Tx

SLACK: Final = timedelta(minutes=2)
"""A block may say that it is older than the clock that opened the invoice. The earlier invoice
takes no money by then anyway."""
LOOK_AGAIN: Final = timedelta(hours=1)
"""An address that is not free keeps the others of its merchant waiting no longer than that."""
_MOST: Final = 50
"""Looked at beyond those that are wanted."""


@dataclass(frozen=True, slots=True)
class Free:
    """An address that its last invoice does not need any more."""

    index: int
    address: Address
    invoice_id: str


async def take_free(tx: Tx, merchant_id: str, count: int, after: timedelta) -> list[Free]:
    """Up to ``count`` of the merchant's own addresses, those first that were free first.

    The caller holds the counter's lock and assigns them in the same transaction.

    :param after: how long past ``monitor_until`` an address rests.
    """
    query = (
        sa.select(
            deposit_addresses.c.derivation_index,
            deposit_addresses.c.address,
            deposit_addresses.c.invoice_id,
        )
        .where(
            deposit_addresses.c.merchant_id == merchant_id,
            deposit_addresses.c.free_from <= tx.now - after,
        )
        .order_by(deposit_addresses.c.free_from)
        .limit(count + _MOST)
    )
    found = [
        Free(row.derivation_index, Address(row.address), row.invoice_id)
        for row in await tx.conn.execute(query)
    ]
    if not found:
        return []
    busy = await _busy(tx, found)
    await _postpone(tx, [one.index for one in found if one.invoice_id in busy], after)
    return [one for one in found if one.invoice_id not in busy][:count]


async def _postpone(tx: Tx, indexes: Sequence[int], after: timedelta) -> None:
    for part in chunked(indexes):
        await tx.conn.execute(
            deposit_addresses.update()
            .where(deposit_addresses.c.derivation_index.in_(part))
            .values(free_from=tx.now - after + LOOK_AGAIN)
        )


async def _busy(tx: Tx, found: Sequence[Free]) -> set[str]:
    """Invoices whose address something still happens to, or may have happened unseen."""
    busy: set[str] = set()
    by_address = {one.address: one.invoice_id for one in found}
    read = await tx.conn.scalar(sa.select(sa.func.min(chain_cursors.c.cursor_time)))
    for part in chunked([one.invoice_id for one in found]):
        for query in (_unsettled(part), _unread(part, read)):
            busy.update((await tx.conn.execute(query)).scalars())
    for addresses in chunked(sorted(by_address)):
        findings = sa.select(audit_findings.c.address).where(
            audit_findings.c.address.in_(addresses), audit_findings.c.status != "closed"
        )
        for address in (await tx.conn.execute(findings)).scalars():
            busy.add(by_address[Address(address)])
    busy.update(await _held(tx, by_address))
    return busy


def _unsettled(invoice_ids: Sequence[str]) -> sa.Select[Any]:
    """Anything but what was ignored, or is final and lies in the treasury for good."""
    return (
        sa.select(payments.c.invoice_id)
        .outerjoin(sweep_items, sweep_items.c.id == payments.c.sweep_item_id)
        .where(
            payments.c.invoice_id.in_(invoice_ids),
            payments.c.status != "ignored",
            sa.or_(
                payments.c.status != "confirmed",
                payments.c.is_final.is_(False),
                sweep_items.c.status.is_(None),
                sweep_items.c.status != "swept",
            ),
        )
    )


def _unread(invoice_ids: Sequence[str], read: datetime | None) -> sa.Select[Any]:
    """Coin lies there, or a chain is not read up to the end of the invoice's time."""
    query = sa.select(invoices.c.id).where(invoices.c.id.in_(invoice_ids))
    if read is None:
        return query
    return query.where(
        sa.or_(invoices.c.monitor_until >= read, invoices.c.native_coin.is_not(None))
    )


async def _held(tx: Tx, by_address: dict[Address, str]) -> set[str]:
    """Invoices whose address, or a token at it, is on hold on some chain."""
    places = {
        place: invoice_id
        for address, invoice_id in by_address.items()
        for token in tx.catalogue
        for place in (
            f"{token.chain}/{address.hex()}",
            f"{token.chain}/{address.hex()}/{token.symbol}",
        )
    }
    busy: set[str] = set()
    for part in chunked(sorted(places)):
        query = sa.select(holds.c.object_id).where(
            holds.c.object_id.in_(part), holds.c.released_at.is_(None)
        )
        busy.update(places[place] for place in (await tx.conn.execute(query)).scalars())
    return busy


def assign_again(tx: Tx, given: Sequence[tuple[Free, str]], free_from: Sequence[datetime]) -> None:
    """Give each of these addresses to the invoice beside it; the invoices are there already.

    :param free_from: end of each new invoice's time.
    """
    since = tx.now - SLACK
    ended = [
        {"invoice_id": free.invoice_id, "address": free.address, "ended_at": since}
        for free, _ in given
    ]
    assigned = [
        {
            "derivation_index": free.index,
            "invoice_id": invoice_id,
            "assigned_at": since,
            "free_from": until,
        }
        for (free, invoice_id), until in zip(given, free_from, strict=True)
    ]
    columns = ("invoice_id", "assigned_at", "free_from")
    write_all(
        tx,
        [
            Insert(earlier_assignments, ended),
            Update(deposit_addresses, assigned, columns, key="derivation_index"),
        ],
    )


@dataclass(frozen=True, slots=True)
class Earlier:
    """An invoice that had an address until ``ended_at``."""

    ended_at: datetime
    invoice_id: str
    merchant_id: str
    currency: str
    monitor_until: datetime
    options: frozenset[tuple[str, str]]


async def earlier_owners(tx: Tx, addresses: Collection[Address]) -> dict[Address, list[Earlier]]:
    """Whose these addresses were, the first one first."""
    rows: list[Any] = []
    for part in chunked(sorted(addresses)):
        query = (
            sa.select(
                earlier_assignments.c.address,
                earlier_assignments.c.ended_at,
                invoices.c.id,
                invoices.c.merchant_id,
                invoices.c.currency,
                invoices.c.monitor_until,
            )
            .join(invoices, invoices.c.id == earlier_assignments.c.invoice_id)
            .where(earlier_assignments.c.address.in_(part))
            .order_by(earlier_assignments.c.ended_at)
        )
        rows += (await tx.conn.execute(query)).all()
    offered: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for ids in chunked([row.id for row in rows]):
        options = sa.select(invoice_options).where(invoice_options.c.invoice_id.in_(ids))
        for row in await tx.conn.execute(options):
            offered[row.invoice_id].add((row.chain, row.token))
    found: dict[Address, list[Earlier]] = defaultdict(list)
    for row in rows:
        found[Address(row.address)].append(
            Earlier(
                row.ended_at,
                row.id,
                row.merchant_id,
                row.currency,
                row.monitor_until,
                frozenset(offered[row.id]),
            )
        )
    return dict(found)


def owner_then(earlier: Sequence[Earlier], block_time: datetime) -> Earlier | None:
    """Who had the address at a block's time; ``None``: who has it now. Pure."""
    return next((one for one in earlier if block_time < one.ended_at), None)


async def earlier_invoices(tx: Tx, addresses: Sequence[Address]) -> list[str]:
    """Ids of the invoices that had these addresses before."""
    found: list[str] = []
    for part in chunked(addresses):
        query = sa.select(earlier_assignments.c.invoice_id).where(
            earlier_assignments.c.address.in_(part)
        )
        found += (await tx.conn.execute(query)).scalars()
    return found
