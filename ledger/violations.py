"""After a finality violation: what an operator's decision does to the books.

The watcher halts a chain and undoes nothing, because it cannot know which of
two histories will stand. The operator looks, and says either *it was repaired:
go on*, or *the last block that both share is N*: then everything above N is
taken back, final or not, and the scan begins again there.
"""

from __future__ import annotations

from config.errors import ConflictError
from ledger.cursors import (
    BlockRow,
    clear_halt,
    get_cursor,
    store_blocks,
    stored_blocks,
    take_back,
)
from ledger.invoices import Touched
from ledger.payment_rows import PaymentPolicy
from ledger.rescans import read_twice_again
from ledger.schema import blocks, chain_cursors, payments
from ledger.store import Tx


async def resolve_violation(
    tx: Tx, chain: str, ancestor: BlockRow | None, policy: PaymentPolicy, touched: Touched
) -> int:
    """End a halt; returns how many payments were taken back.

    :param ancestor: the last block that both histories share, as the chain gives it now;
        ``None``: the chain holds the final block again, nothing is undone.
    :raises ConflictError: the chain is not halted, or ``ancestor`` contradicts what is stored.
    """
    cursor = await get_cursor(tx, chain, lock=True)
    if cursor is None or cursor.halted_reason is None:
        raise ConflictError(f"chain {chain} is not halted")
    taken_back = 0
    if ancestor is not None:
        if ancestor.number > cursor.cursor.number:
            raise ConflictError(f"block {ancestor.number} lies above the cursor of {chain}")
        held = await stored_blocks(tx, chain, ancestor.number, ancestor.number)
        if held and held[0].hash != ancestor.hash:
            raise ConflictError(
                f"block {ancestor.number} of {chain} differs from the stored one: "
                "both histories do not share it",
                remedy="name a lower block",
            )
        taken_back = await _take_back(tx, chain, ancestor, policy, touched)
        await _anchor(tx, chain, ancestor)
        await read_twice_again(tx, chain, ancestor.number + 1)
    await clear_halt(tx, chain)
    return taken_back


async def _take_back(
    tx: Tx, chain: str, ancestor: BlockRow, policy: PaymentPolicy, touched: Touched
) -> int:
    taken_back = await take_back(tx, chain, ancestor.number, policy, touched, final=True)
    await tx.conn.execute(
        payments.update()
        .where(payments.c.chain == chain, payments.c.block_number > ancestor.number)
        .values(is_final=False)
    )
    return taken_back


async def _anchor(tx: Tx, chain: str, ancestor: BlockRow) -> None:
    await tx.conn.execute(
        blocks.update()
        .where(blocks.c.chain == chain, blocks.c.number > ancestor.number)
        .values(canonical=False)
    )
    store_blocks(tx, chain, [ancestor])
    await tx.conn.execute(
        chain_cursors.update()
        .where(chain_cursors.c.chain == chain)
        .values(
            cursor_block=ancestor.number,
            cursor_hash=ancestor.hash,
            cursor_time=ancestor.timestamp,
            final_block=ancestor.number,
            final_hash=ancestor.hash,
            updated_at=tx.now,
        )
    )
