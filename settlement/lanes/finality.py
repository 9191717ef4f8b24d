"""Whether a receipt counts for good: the watcher's committed finality, checked by hash."""

from __future__ import annotations

from dataclasses import dataclass

from chain.client import ChainClient
from chain.model import Receipt
from ledger.cursors import Cursor, stored_blocks
from ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Finality:
    """The chain's cursor as one tick sees it."""

    cursor: Cursor | None

    @property
    def final_block(self) -> int | None:
        """Highest block that is held as final; ``None`` before the watcher's first."""
        return None if self.cursor is None else self.cursor.final.number


async def is_final(
    client: ChainClient, ledger: Ledger, finality: Finality, receipt: Receipt
) -> bool:
    """Whether the receipt's block is at or below the final block, and canonical.

    The height alone proves nothing: a provider on another branch gives receipts too. The
    block of that height must have the receipt's hash, at the chain and, where the watcher
    has kept it, in the database.
    """
    cursor = finality.cursor
    if cursor is None or cursor.halted_reason is not None:
        return False
    if receipt.block_number > cursor.final.number:
        return False
    async with ledger.reading() as tx:
        kept = await stored_blocks(tx, cursor.chain, receipt.block_number, receipt.block_number)
    if kept and kept[0].hash != receipt.block_hash:
        return False
    header = await client.block(receipt.block_number)
    return header is not None and header.hash == receipt.block_hash
