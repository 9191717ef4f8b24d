"""Ranges of blocks to be read again: asked for by an operator, by a gap, or as a second reading.

Work is done a chunk at a time below the cursor, and ``next_block`` moves in
the transaction of what the chunk brought, so that a restart goes on where it
stopped. Reading twice is harmless: sightings are recorded once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa

from config.errors import ConflictError, InvalidInputError
from ledger.cursors import get_cursor
from ledger.schema import rescans
from ledger.store import Tx

Trigger = Literal["command", "gap", "backup"]
_TURNS: Final[dict[Trigger, int]] = {"gap": 0, "command": 1, "backup": 2}


@dataclass(frozen=True, slots=True)
class Rescan:
    """Blocks ``next_block … last_block`` are still to be read."""

    id: int
    chain: str
    first_block: int
    last_block: int
    next_block: int
    trigger: Trigger
    finished: bool


async def request_rescan(tx: Tx, chain: str, first: int, last: int, trigger: Trigger) -> int:
    """Ask for blocks ``first … last`` to be read again; returns the request's id.

    What lies above the cursor is left out: it is about to be read anyway.

    :raises InvalidInputError: no such range, or none of it has been read yet.
    """
    if not 0 <= first <= last:
        raise InvalidInputError(
            f"blocks {first} to {last} are not a range", where="from", remedy="0 <= from <= to"
        )
    cursor = await get_cursor(tx, chain)
    if cursor is None or first > cursor.cursor.number:
        raise InvalidInputError(
            f"{chain} has not been read up to block {first} yet", where="from", remedy="wait for it"
        )
    last = min(last, cursor.cursor.number)
    result = await tx.conn.scalar(
        rescans.insert()
        .values(
            chain=chain,
            first_block=first,
            last_block=last,
            next_block=first,
            trigger=trigger,
            created_at=tx.now,
        )
        .returning(rescans.c.id)
    )
    assert result is not None
    return int(result)


async def next_rescan(tx: Tx, chain: str, below: int, aside: Collection[int] = ()) -> Rescan | None:
    """The oldest unfinished request that has a block at or below ``below`` to read.

    A gap goes first, for somebody may have paid in it; then what an operator asked for, which may
    be the whole chain; then second readings.

    :param aside: ids of requests to leave for later.
    """
    query = (
        sa.select(rescans)
        .where(
            rescans.c.chain == chain,
            rescans.c.finished_at.is_(None),
            rescans.c.next_block <= below,
            rescans.c.id.not_in(sorted(aside)),
        )
        .order_by(sa.case(_TURNS, value=rescans.c.trigger), rescans.c.id)
        .limit(1)
    )
    row = (await tx.conn.execute(query)).one_or_none()
    return None if row is None else _rescan(row)


async def get_rescan(tx: Tx, rescan_id: int) -> Rescan | None:
    """One request, finished or not."""
    row = (await tx.conn.execute(sa.select(rescans).where(rescans.c.id == rescan_id))).one_or_none()
    return None if row is None else _rescan(row)


async def advance_rescan(tx: Tx, rescan: Rescan, next_block: int) -> None:
    """Everything below ``next_block`` has been read; in the transaction of what was found.

    :raises ConflictError: another process has moved it.
    """
    done = next_block > rescan.last_block
    result = await tx.conn.execute(
        rescans.update()
        .where(
            rescans.c.id == rescan.id,
            rescans.c.next_block == rescan.next_block,
            rescans.c.finished_at.is_(None),
        )
        .values(next_block=next_block, finished_at=tx.now if done else None)
    )
    if result.rowcount != 1:
        raise ConflictError(f"rescan {rescan.id} is no longer at block {rescan.next_block}")


async def backup_end(tx: Tx, chain: str) -> int | None:
    """Last block of the newest second reading asked for; ``None`` before the first."""
    query = sa.select(sa.func.max(rescans.c.last_block)).where(
        rescans.c.chain == chain, rescans.c.trigger == "backup"
    )
    found = await tx.conn.scalar(query)
    return None if found is None else int(found)


async def read_twice(tx: Tx, chain: str) -> int | None:
    """Up to which block final blocks have been read a second time; ``None`` before the first."""
    query = sa.select(
        sa.func.min(sa.case((rescans.c.finished_at.is_(None), rescans.c.next_block - 1))),
        sa.func.max(rescans.c.last_block),
    ).where(rescans.c.chain == chain, rescans.c.trigger == "backup")
    waiting, last = (await tx.conn.execute(query)).one()
    found = last if waiting is None else waiting
    return None if found is None else int(found)


async def read_twice_again(tx: Tx, chain: str, first: int) -> None:
    """What was read twice from ``first`` on was another history: it is to be done anew."""
    newest = sa.select(sa.func.max(rescans.c.id)).where(
        rescans.c.chain == chain, rescans.c.trigger == "backup", rescans.c.last_block >= first
    )
    await tx.conn.execute(
        rescans.update()
        .where(rescans.c.id == newest.scalar_subquery(), rescans.c.next_block > first)
        .values(
            first_block=sa.case(
                (rescans.c.first_block < first, rescans.c.first_block), else_=first
            ),
            next_block=first,
            finished_at=None,
        )
    )


async def forget_backups(tx: Tx, chain: str, below: int) -> None:
    """Drop finished second readings that end below a block: the newest one says enough."""
    await tx.conn.execute(
        rescans.delete().where(
            rescans.c.chain == chain,
            rescans.c.trigger == "backup",
            rescans.c.finished_at.is_not(None),
            rescans.c.last_block < below,
        )
    )


def _rescan(row: sa.Row[*tuple[object, ...]]) -> Rescan:
    found = row._mapping
    return Rescan(
        id=found["id"],
        chain=found["chain"],
        first_block=found["first_block"],
        last_block=found["last_block"],
        next_block=found["next_block"],
        trigger=found["trigger"],
        finished=found["finished_at"] is not None,
    )
