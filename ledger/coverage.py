"""From which block to which a chain was read in one piece, and what of it is kept as proof.

Every block above finality is stored with its hash, and below it the last one of each
range. Whoever has the hash of a block can link everything below it again, so that a row
every few hundred blocks proves the whole. What lies deep is thinned out by that::

    deleted   canonical, deeper than final by the number configured, and none of these:
    kept      one row at least every :data:`WIDEST` blocks, the first of all
              blocks that a sighting, a payment or a finding refers to
              orphaned blocks, for ever: they are evidence
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ledger.cursors import Cursor
from ledger.schema import audit_findings, blocks, rescans, sightings
from ledger.sql import chunked
from ledger.store import Tx

WIDEST: Final = 500
"""Blocks between two rows that thinning out leaves."""
AT_ONCE: Final = 1_000
"""Rows looked at in one step."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Between two stored blocks nothing proves what lies there."""

    above: int
    below: int
    why: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Blocks ``first … last`` were read; ``hashes`` of them are stored.

    :param again: blocks that are still to be read again, asked for by a gap or an operator.
    """

    first: int
    last: int
    final: int
    hashes: int
    gaps: tuple[Gap, ...]
    again: int


async def coverage(tx: Tx, cursor: Cursor, widest: int) -> Coverage:
    """What the books prove of a chain.

    :param widest: the most blocks that one range read takes.
    """
    chain = cursor.chain
    of_chain = sa.and_(blocks.c.chain == chain, blocks.c.canonical.is_(True))
    count, lowest, highest = (
        await tx.conn.execute(
            sa.select(
                sa.func.count(), sa.func.min(blocks.c.number), sa.func.max(blocks.c.number)
            ).where(of_chain)
        )
    ).one()
    gaps = await _gaps(tx, of_chain, widest)
    if lowest != cursor.start_block - 1:
        gaps.append(Gap(cursor.start_block - 1, lowest or 0, "the first block is not stored"))
    if highest != cursor.cursor.number:
        gaps.append(Gap(highest or 0, cursor.cursor.number, "the cursor's block is not stored"))
    waiting = await tx.conn.scalar(
        sa.select(sa.func.sum(rescans.c.last_block - rescans.c.next_block + 1)).where(
            rescans.c.chain == chain,
            rescans.c.finished_at.is_(None),
            rescans.c.trigger != "backup",
        )
    )
    return Coverage(
        first=cursor.start_block,
        last=cursor.cursor.number,
        final=cursor.final.number,
        hashes=count,
        gaps=tuple(gaps),
        again=int(waiting or 0),
    )


async def _gaps(tx: Tx, of_chain: sa.ColumnElement[bool], widest: int) -> list[Gap]:
    rows = (
        sa.select(
            blocks.c.number,
            blocks.c.parent_hash,
            sa.func.lag(blocks.c.number).over(order_by=blocks.c.number).label("before"),
            sa.func.lag(blocks.c.hash).over(order_by=blocks.c.number).label("before_hash"),
        )
        .where(of_chain)
        .subquery()
    )
    unlinked = sa.and_(rows.c.number == rows.c.before + 1, rows.c.parent_hash != rows.c.before_hash)
    wide = rows.c.number - rows.c.before > widest
    query = sa.select(rows.c.before, rows.c.number, unlinked.label("unlinked"))
    query = query.where(sa.or_(unlinked, wide)).order_by(rows.c.number).limit(100)
    return [
        Gap(
            row.before,
            row.number,
            "the parent's hash is another" if row.unlinked else "no hash between them is stored",
        )
        for row in await tx.conn.execute(query)
    ]


def thinned(numbers: Sequence[int], kept_below: int, referred: set[int]) -> list[int]:
    """Which of these stored heights may go. Pure.

    :param numbers: ascending; the last one stays, what follows it is not known here.
    :param kept_below: the stored height under the first one.
    """
    gone: list[int] = []
    kept = kept_below
    for number, following in itertools.pairwise(numbers):
        if number in referred or following - kept > WIDEST:
            kept = number
        else:
            gone.append(number)
    return gone


async def thin_out(tx: Tx, chain: str, above: int, up_to: int) -> tuple[int, int]:
    """Delete what proves nothing more; returns the height it got to, and how many rows went.

    :param above: the height that it got to before; -1 at the beginning.
    :param up_to: final block less what is kept whole.
    """
    of_chain = sa.and_(blocks.c.chain == chain, blocks.c.canonical.is_(True))
    lowest = await tx.conn.scalar(sa.select(sa.func.min(blocks.c.number)).where(of_chain))
    if lowest is None:
        return above, 0
    start = max(above, int(lowest))
    query = (
        sa.select(blocks.c.number, blocks.c.hash)
        .where(of_chain, blocks.c.number > start, blocks.c.number <= up_to)
        .order_by(blocks.c.number)
        .limit(AT_ONCE)
    )
    rows = list(await tx.conn.execute(query))
    if not rows:
        return above, 0
    below = await tx.conn.scalar(
        sa.select(sa.func.max(blocks.c.number)).where(of_chain, blocks.c.number <= start)
    )
    assert below is not None, "the first block is never deleted"
    referred = await _referred(tx, chain, [row.hash for row in rows])
    gone = thinned(
        [row.number for row in rows],
        int(below),
        {row.number for row in rows if row.hash in referred},
    )
    for part in chunked(gone):
        await tx.conn.execute(blocks.delete().where(of_chain, blocks.c.number.in_(part)))
    return rows[-1].number, len(gone)


async def _referred(tx: Tx, chain: str, hashes: Sequence[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for part in chunked(hashes):
        for column, of_chain in (
            (sightings.c.block_hash, sightings.c.chain),
            (audit_findings.c.block_hash, audit_findings.c.chain),
        ):
            query: sa.Select[Any] = sa.select(column).where(of_chain == chain, column.in_(part))
            found |= set((await tx.conn.execute(query)).scalars())
    return found
