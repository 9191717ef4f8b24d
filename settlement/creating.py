"""Creating deposit addresses in a transaction of its own, before the one that sweeps them.

For chains where a new contract costs more gas than the collector gives an entry
(a proposal for Ethereum, EIP-8037, would make it so). An ordinary batch of the
sweep lane, without items: it moves nothing and nothing is posted for it but gas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.deposit_factory import decode_create, encode_create
from chain.helper_contracts import content_hash
from ledger.batches import NewBatch, open_batches, seal_batch
from ledger.leases import Lease, check
from settlement.context import Context
from settlement.sweeps import LANE

MOST_AT_ONCE: Final = 40
"""A transaction's 16,777,216 gas, with a quarter to spare, leave 335,000 for each."""


async def create_apart(ctx: Context, lease: Lease, indexes: Sequence[int], block: int) -> int:
    """Seal one for these, less those that are on their way; returns how many were made."""
    factory = ctx.contracts.factory
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        under_way = {
            index
            for batch in await open_batches(tx, ctx.name, LANE)
            if batch.target == factory
            for index in decode_create(batch.calldata)
        }
        wanted = [index for index in indexes if index not in under_way][:MOST_AT_ONCE]
        if not wanted:
            return 0
        data = encode_create(wanted)
        await seal_batch(
            tx,
            NewBatch(
                chain=ctx.name,
                lane=LANE,
                purpose="sweep",
                token=ctx.chain.native_symbol,
                content_hash=content_hash(data),
                target=factory,
                calldata=data,
                size=len(wanted),
                sealed_block=block,
            ),
        )
    ctx.observer.note("deposit_addresses_created_apart", chain=ctx.name, count=len(wanted))
    return 1
