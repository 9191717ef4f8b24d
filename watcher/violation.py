"""The operator's way out of a finality violation, checked against the chain first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from chain.client import ChainClient
from chain.ranges import LARGEST
from config.errors import ConflictError
from ledger.cursors import BlockRow, stored_blocks
from ledger.invoices import Touched, refresh_invoices
from ledger.store import Ledger, Tx
from ledger.violations import resolve_violation
from watcher.effects import House, to_block_row

_NEAR: Final = 2 * LARGEST
"""Of every range read below finality one block is stored, so that one is found within this."""


async def clear_violation(
    ledger: Ledger,
    client: ChainClient,
    house: House,
    to_block: int | None,
    also: Callable[[Tx, int], Awaitable[None]] | None = None,
) -> int:
    """End the halt of a chain; returns how many payments were taken back.

    :param to_block: the last block that both histories share: everything above it is undone and
        read again. ``None``: the chain was repaired; if it was not, it halts again at once.
    :param also: done in the same transaction, told how many payments were taken back.
    :raises ConflictError: not halted, or the chain and the books don't share ``to_block``.
    """
    ancestor = None
    if to_block is not None:
        header = await client.block(to_block)
        if header is None:
            raise ConflictError(f"{house.chain.name} has no block {to_block}")
        # Of a range below finality only the last block is known: what lies between it and
        # ``to_block`` cannot be compared, and is taken back and read again as well.
        stored = await _shared_below(ledger, client, house.chain.name, to_block)
        ancestor = stored or to_block_row(header)
    touched = Touched()
    async with ledger.transaction() as tx:
        count = await resolve_violation(tx, house.chain.name, ancestor, house.policy, touched)
        await refresh_invoices(tx, touched.ids, house.tolerance)
        if also is not None:
            await also(tx, count)
    return count


async def _shared_below(
    ledger: Ledger, client: ChainClient, chain: str, block: int
) -> BlockRow | None:
    """The nearest stored block at or below; it must be on the chain: then so is all below it.

    :raises ConflictError: it is not; the histories part further down.
    """
    async with ledger.reading() as tx:
        stored = await stored_blocks(tx, chain, max(0, block - _NEAR), block)
    if not stored:
        return None
    nearest = stored[-1]
    header = await client.block(nearest.number)
    if header is None or header.hash != nearest.hash:
        raise ConflictError(
            f"block {nearest.number} of {chain} is no longer the one that was read",
            remedy="name a lower block",
        )
    return nearest
