"""The cursor of a chain and the blocks behind it: what has been seen, provably in one piece.

``cursor_block`` moves up with the effects of the blocks it passes, in one
transaction, by compare-and-set on (number, hash); only :func:`rewind` lowers
it. Blocks are orphaned, never deleted while they may matter as evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError
from config.units import BlockNumber, Hash32
from ledger.bulk import Insert, execute, write_all
from ledger.invoices import Touched
from ledger.payment_moves import PaymentMove, move_payments, payments_above
from ledger.payment_rows import PaymentPolicy
from ledger.schema import blocks, chain_cursors
from ledger.sql import chunked
from ledger.states import PaymentStatus
from ledger.store import Tx

_CURSOR: Final = sa.select(chain_cursors).where(chain_cursors.c.chain == sa.bindparam("of_chain"))
_LOCKED: Final = _CURSOR.with_for_update()
_ADVANCE: Final = (
    chain_cursors.update()
    .where(
        chain_cursors.c.chain == sa.bindparam("of_chain"),
        chain_cursors.c.cursor_block == sa.bindparam("expected_block"),
        chain_cursors.c.cursor_hash == sa.bindparam("expected_hash"),
        chain_cursors.c.final_block <= sa.bindparam("final"),
        chain_cursors.c.halted_reason.is_(None),
    )
    .values(
        cursor_block=sa.bindparam("top"),
        cursor_hash=sa.bindparam("top_hash"),
        cursor_time=sa.bindparam("top_time"),
        final_block=sa.bindparam("now_final"),
        final_hash=sa.bindparam("now_final_hash"),
        updated_at=sa.bindparam("now"),
    )
    .returning(chain_cursors.c.chain)
)

_BLOCKS: Final = (
    sa.select(blocks)
    .where(
        blocks.c.chain == sa.bindparam("of_chain"),
        blocks.c.canonical.is_(True),
        blocks.c.number.between(sa.bindparam("lowest"), sa.bindparam("highest")),
    )
    .order_by(blocks.c.number)
)


@dataclass(frozen=True, slots=True)
class BlockMark:
    """A block by number and hash."""

    number: BlockNumber
    hash: Hash32


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A linked block, as stored."""

    number: BlockNumber
    hash: Hash32
    parent_hash: Hash32
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a chain's scan stands."""

    chain: str
    chain_id: int
    start_block: BlockNumber
    cursor: BlockMark
    cursor_time: datetime
    final: BlockMark
    halted_reason: str | None


async def known_as(tx: Tx, chain_id: int) -> str | None:
    """The name under which the books hold a chain; ``None``: they do not."""
    query = sa.select(chain_cursors.c.chain).where(chain_cursors.c.chain_id == chain_id)
    name: str | None = await tx.conn.scalar(query.order_by(chain_cursors.c.chain).limit(1))
    return name


async def get_cursor(tx: Tx, chain: str, *, lock: bool = False) -> Cursor | None:
    """The chain's cursor, or ``None`` before its first block."""
    rows = await execute(tx, _LOCKED if lock else _CURSOR, of_chain=chain)
    if not rows:
        return None
    row = rows[0]
    return Cursor(
        chain=row["chain"],
        chain_id=row["chain_id"],
        start_block=row["start_block"],
        cursor=BlockMark(row["cursor_block"], row["cursor_hash"]),
        cursor_time=row["cursor_time"],
        final=BlockMark(row["final_block"], row["final_hash"]),
        halted_reason=row["halted_reason"],
    )


async def start_cursor(tx: Tx, chain: str, chain_id: int, block: BlockRow) -> None:
    """Begin a chain: ``block`` is taken as seen and final, scanning starts above it.

    :raises ConflictError: the chain has a cursor already.
    """
    if await get_cursor(tx, chain) is not None:
        raise ConflictError(f"chain {chain} has a cursor already")
    await tx.conn.execute(
        chain_cursors.insert().values(
            chain=chain,
            chain_id=chain_id,
            start_block=block.number + 1,
            cursor_block=block.number,
            cursor_hash=block.hash,
            cursor_time=block.timestamp,
            final_block=block.number,
            final_hash=block.hash,
            updated_at=tx.now,
        )
    )
    store_blocks(tx, chain, [block])


async def advance_cursor(
    tx: Tx,
    chain: str,
    *,
    expected: BlockMark,
    new_blocks: Sequence[BlockRow],
    top: BlockRow,
    final: BlockMark,
) -> None:
    """Move the cursor from ``expected`` to ``top``, in the transaction of the effects.

    :param new_blocks: to be stored: every block above finality, and the last one of each
        range below it; ascending.
    :param final: highest block now held as final; never lower than before.
    :raises ConflictError: somebody else moved the cursor, or the chain is halted.
    """
    store_blocks(tx, chain, new_blocks)
    moved = await execute(
        tx,
        _ADVANCE,
        of_chain=chain,
        expected_block=expected.number,
        expected_hash=expected.hash,
        final=final.number,
        top=top.number,
        top_hash=top.hash,
        top_time=top.timestamp,
        now_final=final.number,
        now_final_hash=final.hash,
        now=tx.now,
    )
    if not moved:
        raise ConflictError(f"the cursor of {chain} is no longer at block {expected.number}")


def store_blocks(tx: Tx, chain: str, rows: Sequence[BlockRow]) -> None:
    """Write linked blocks as canonical; in the transaction of their effects."""
    values: list[dict[str, Any]] = [
        {
            "chain": chain,
            "number": row.number,
            "hash": row.hash,
            "parent_hash": row.parent_hash,
            "timestamp": row.timestamp,
            "canonical": True,
        }
        for row in rows
    ]
    # A block that was orphaned and comes back is the same row, canonical again.
    write_all(tx, [Insert(blocks, values, over=("chain", "number", "hash"))])


async def stored_blocks(tx: Tx, chain: str, lowest: int, highest: int) -> list[BlockRow]:
    """Canonical blocks held between two numbers, both included, ascending."""
    rows = await execute(tx, _BLOCKS, of_chain=chain, lowest=lowest, highest=highest)
    return [
        BlockRow(row["number"], row["hash"], row["parent_hash"], row["timestamp"]) for row in rows
    ]


async def take_back(
    tx: Tx,
    chain: str,
    block: int,
    policy: PaymentPolicy,
    touched: Touched,
    *,
    final: bool = False,
) -> int:
    """Orphan or reverse every payment credited from above ``block``; returns how many.

    :param final: those held as final too.
    """
    moves = [
        PaymentMove(
            row,
            PaymentStatus.REVERSED
            if row["status"] == PaymentStatus.CONFIRMED
            else PaymentStatus.ORPHANED,
        )
        for row in await payments_above(tx, chain, block, final=final)
    ]
    for part in chunked(moves):
        await move_payments(tx, part, policy, touched)
    return len(moves)


async def rewind(
    tx: Tx,
    chain: str,
    *,
    expected: BlockMark,
    ancestor: BlockRow,
    policy: PaymentPolicy,
    touched: Touched,
) -> int:
    """Undo everything above the last common ancestor; returns how many blocks went.

    Unconfirmed payments become ``orphaned``, confirmed ones ``reversed``; both
    take their postings back. The blocks stay, no longer canonical.

    :raises ConflictError: the ancestor lies below the final block, or the cursor moved.
    """
    current = await get_cursor(tx, chain, lock=True)
    if current is None or current.cursor != expected:
        raise ConflictError(f"the cursor of {chain} is no longer at block {expected.number}")
    if ancestor.number < current.final.number:
        raise ConflictError(f"{chain}: block {ancestor.number} lies below the final block")
    await take_back(tx, chain, ancestor.number, policy, touched)
    await tx.conn.execute(
        blocks.update()
        .where(blocks.c.chain == chain, blocks.c.number > ancestor.number)
        .values(canonical=False)
    )
    await tx.conn.execute(
        chain_cursors.update()
        .where(chain_cursors.c.chain == chain)
        .values(
            cursor_block=ancestor.number,
            cursor_hash=ancestor.hash,
            cursor_time=ancestor.timestamp,
            updated_at=tx.now,
        )
    )
    return expected.number - ancestor.number


async def halt_chain(tx: Tx, chain: str, reason: str) -> None:
    """Finality violation: crediting and paying stop until an operator clears it."""
    await tx.conn.execute(
        chain_cursors.update()
        .where(chain_cursors.c.chain == chain, chain_cursors.c.halted_reason.is_(None))
        .values(halted_reason=reason, halted_at=tx.now)
    )


async def clear_halt(tx: Tx, chain: str) -> None:
    """An operator's decision: go on."""
    await tx.conn.execute(
        chain_cursors.update()
        .where(chain_cursors.c.chain == chain)
        .values(halted_reason=None, halted_at=None)
    )
