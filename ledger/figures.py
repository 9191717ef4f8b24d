"""Counts and ages of what is in the books, for metrics: read-only and bounded in cost.

Everything is answered from an index. The one scan that grows with the number
of invoices (:func:`status_counts`) reads an index only; whoever calls it does
so seldom (see ``bursar.metrics.figures``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ledger.attempts import IS_OPEN
from ledger.books import house_totals
from ledger.postings import balance
from ledger.presigned import presigned_left
from ledger.schema import (
    address_counter,
    chain_cursors,
    holds,
    invoices,
    lanes,
    merchants,
    pauses,
    payouts,
    transactions,
    webhook_deliveries,
)
from ledger.states import PayoutStatus, TransactionStatus
from ledger.store import Tx

DUE: Final = (PayoutStatus.QUEUED, PayoutStatus.BATCHED, PayoutStatus.SUBMITTED)


@dataclass(frozen=True, slots=True)
class ChainFigure:
    """Where a chain's scan stands in the books."""

    cursor_block: int
    cursor_time: datetime
    updated_at: datetime
    halted_reason: str | None


@dataclass(frozen=True, slots=True)
class LaneFigure:
    """What a lane has under way."""

    pending: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading of the books; ages are instants, so that they can be shown without a query."""

    read_at: datetime
    invoices: Mapping[str, int]
    payouts: Mapping[str, int]
    oldest_due: datetime | None
    addresses: int
    chains: Mapping[str, ChainFigure]
    lanes: Mapping[tuple[str, str], LaneFigure]
    halted_lanes: Mapping[tuple[str, str], str]
    balances: Mapping[tuple[str, str, str], int]
    """(account kind, chain, token) → posted balance, base units, in the kind's direction."""
    holds: Mapping[str, int]
    fee_waits: frozenset[tuple[str, str]]
    """(chain, lane) where something waits for lower fees."""
    paused: frozenset[str]
    oldest_delivery: datetime | None
    presigned_left: Mapping[int, int]
    """Presigned addresses that can still be handed out, by chain id."""


async def read_figures(tx: Tx) -> Figures:
    """All figures, from one snapshot."""
    return Figures(
        read_at=tx.now,
        invoices=await status_counts(tx, invoices),
        payouts=await status_counts(tx, payouts),
        oldest_due=await _oldest_due(tx),
        addresses=await tx.conn.scalar(sa.select(address_counter.c.next_index)) or 0,
        chains=await chain_figures(tx),
        lanes=await _lanes(tx),
        halted_lanes=await halted_lanes(tx),
        balances=await _balances(tx),
        holds=await _holds(tx),
        fee_waits=frozenset(await fee_waits(tx)),
        paused=frozenset((await tx.conn.execute(sa.select(pauses.c.scope))).scalars()),
        oldest_delivery=await _oldest_delivery(tx),
        presigned_left=await presigned_left(tx),
    )


async def status_counts(tx: Tx, table: sa.Table) -> dict[str, int]:
    """Rows by status."""
    query = sa.select(table.c.status, sa.func.count()).group_by(table.c.status)
    return {row[0]: row[1] for row in await tx.conn.execute(query)}


async def chain_figures(tx: Tx) -> dict[str, ChainFigure]:
    """By chain; chains that were never scanned are left out."""
    return {
        row.chain: ChainFigure(row.cursor_block, row.cursor_time, row.updated_at, row.halted_reason)
        for row in await tx.conn.execute(sa.select(chain_cursors))
    }


async def halted_lanes(tx: Tx) -> dict[tuple[str, str], str]:
    """Lanes that wait for an operator, with the reason."""
    query = sa.select(lanes).where(lanes.c.halted_reason.is_not(None))
    return {(row.chain, row.lane): row.halted_reason for row in await tx.conn.execute(query)}


async def _oldest_due(tx: Tx) -> datetime | None:
    """Since when the oldest unpaid payout, or the oldest missed settlement time, is due."""
    made = await tx.conn.scalar(
        sa.select(sa.func.min(payouts.c.created_at)).where(payouts.c.status.in_(DUE))
    )
    planned = await tx.conn.scalar(
        sa.select(sa.func.min(merchants.c.next_settlement_at)).where(
            merchants.c.next_settlement_at <= tx.now
        )
    )
    return min((moment for moment in (made, planned) if moment is not None), default=None)


async def _lanes(tx: Tx) -> dict[tuple[str, str], LaneFigure]:
    query = (
        sa.select(
            transactions.c.chain,
            transactions.c.lane,
            # attempts on one nonce are one transaction to wait for
            sa.func.count(transactions.c.nonce.distinct()).label("pending"),
            sa.func.min(transactions.c.created_at).label("oldest"),
        )
        .where(IS_OPEN, transactions.c.status != TransactionStatus.MINED.value)
        .group_by(transactions.c.chain, transactions.c.lane)
    )
    return {
        (row.chain, row.lane): LaneFigure(row.pending, row.oldest)
        for row in await tx.conn.execute(query)
    }


async def _balances(tx: Tx) -> dict[tuple[str, str, str], int]:
    return {
        (ref.kind.value, ref.chain, ref.token): balance(ref.kind, totals)
        for ref, totals in (await house_totals(tx)).items()
    }


async def _holds(tx: Tx) -> dict[str, int]:
    query = (
        sa.select(holds.c.kind, sa.func.count())
        .where(holds.c.released_at.is_(None))
        .group_by(holds.c.kind)
    )
    return {row[0]: row[1] for row in await tx.conn.execute(query)}


async def fee_waits(tx: Tx) -> dict[tuple[str, str], str]:
    """Why something waits for lower fees, by chain and lane."""
    query = sa.select(holds.c.object_id, holds.c.reason).where(
        holds.c.released_at.is_(None), holds.c.object_type == "fees"
    )
    rows = [(row.object_id.split("/"), row.reason) for row in await tx.conn.execute(query)]
    return {(place[0], place[1]): reason for place, reason in rows}


async def _oldest_delivery(tx: Tx) -> datetime | None:
    query = sa.select(sa.func.min(webhook_deliveries.c.created_at)).where(
        webhook_deliveries.c.status == sa.text("'pending'")
    )
    moment: datetime | None = await tx.conn.scalar(query)
    return moment
