"""How far a chain is known to hold no outflow that the books do not know."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from config.units import Hash32
from ledger.schema import comparisons, payouts
from ledger.schema import transactions as attempts
from ledger.sql import chunked, insert_ignore
from ledger.store import Tx


async def compared_block(tx: Tx, chain: str) -> int | None:
    """The highest block compared; ``None`` before the first comparison."""
    query = sa.select(comparisons.c.block).where(comparisons.c.chain == chain)
    found = await tx.conn.scalar(query)
    return None if found is None else int(found)


async def note_compared(tx: Tx, chain: str, block: int) -> None:
    """Move the mark up; it goes down only with a restored database."""
    await insert_ignore(tx, comparisons, [{"chain": chain, "block": block, "at": tx.now}])
    await tx.conn.execute(
        comparisons.update()
        .where(comparisons.c.chain == chain, comparisons.c.block < block)
        .values(block=block, at=tx.now)
    )


async def booked_hashes(tx: Tx, candidates: Collection[Hash32]) -> set[Hash32]:
    """Those of the transactions that an attempt or a payout of these books names."""
    return await _named(tx, candidates, attempts.c.tx_hash, payouts.c.tx_hash)


async def own_hashes(tx: Tx, candidates: Collection[Hash32]) -> set[Hash32]:
    """Those of the transactions that are an attempt of these books: nobody else had a say."""
    return await _named(tx, candidates, attempts.c.tx_hash)


async def _named(tx: Tx, candidates: Collection[Hash32], *columns: sa.Column[bytes]) -> set[Hash32]:
    found: set[Hash32] = set()
    for part in chunked(sorted(set(candidates))):
        for column in columns:
            query = sa.select(column).where(column.in_(part))
            found |= {Hash32(value) for value in (await tx.conn.execute(query)).scalars()}
    return found
