"""A batch that somebody else executed: anyone may submit a signed batch, and it counts.

"Already executed" never means *queue again*. It means: find the execution, compare
its content, and book it as ours.
"""

from __future__ import annotations

from chain.abi import decode_bool, decode_uint, encode_call
from chain.client import ChainClient
from chain.helper_contracts import decode_batch_executed, encode_executed, executed_topics
from chain.model import Log, TxRequest
from config.units import Address
from ledger.batches import Batch, move_batch
from ledger.holds import close_holds
from ledger.leases import Lease, check
from ledger.payouts import PayoutMove, move_payouts, payouts_of_batch
from ledger.states import BatchStatus, PayoutStatus
from settlement.agreed import agreed
from settlement.context import Context
from settlement.finish import finish_batch
from settlement.lanes.agreement import borne_out, close_dispute
from settlement.lanes.finality import Finality, is_final
from settlement.lanes.sending import stop_lane
from settlement.logs import logs_between


async def adopt_execution(
    ctx: Context, lease: Lease, lane: str, batch: Batch, finality: Finality
) -> None:
    """Book the execution found on chain once it is final; halt if it paid something else."""
    log = await _find_execution(ctx, batch)
    if log is None:
        return  # the node that refused is ahead of the one that was searched: next tick
    event = decode_batch_executed(log, batch.target)
    assert event is not None
    if event.content_hash != batch.content_hash:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await stop_lane(
                tx, ctx, lane, f"batch_{batch.id}: its on-chain id has paid another content"
            )
        return
    receipt = await ctx.client.receipt(log.tx_hash)
    if receipt is None or not await is_final(ctx.client, ctx.ledger, finality, receipt):
        return
    if not await borne_out(ctx, lease, finality, receipt):
        return
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        await finish_batch(tx, ctx, batch, receipt)
        await close_dispute(tx, ctx, receipt)
    ctx.observer.note("execution_adopted", chain=ctx.name, batch=batch.id)


async def _find_execution(ctx: Context, batch: Batch) -> Log | None:
    assert batch.epoch is not None
    assert batch.onchain_id is not None
    head = await ctx.client.block("latest")
    if head is None:
        return None
    topics = executed_topics(batch.epoch, batch.onchain_id)
    found = await logs_between(ctx.client, batch.sealed_block, head.number, [batch.target], topics)
    return found[0] if found else None


async def give_up_epoch(
    ctx: Context, lease: Lease, lane: str, batch: Batch, finality: Finality
) -> None:
    """The owner raised the epoch: once that is final the batch can never run, by anybody.

    Only then may its payouts get a new id: until the raise is final a reorg could still
    let the signed bytes run. One that ran before the raise is booked: of the two reasons
    why it is refused, the treasury tells the epoch first.
    """
    if finality.final_block is None or batch.epoch is None or batch.onchain_id is None:
        return
    block = finality.final_block
    current = await agreed(ctx.client, lambda c: epoch_of(c, batch.target, block))
    ran = await agreed(ctx.client, lambda c: executed_at(c, batch, block))
    if current is None or ran is None:
        ctx.observer.note("epoch_disputed", chain=ctx.name, batch=batch.id)
        return
    if current <= batch.epoch:
        return
    if ran:
        await adopt_execution(ctx, lease, lane, batch, finality)
        return
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        rows = await payouts_of_batch(tx, batch.id)
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.QUEUED) for row in rows])
        await move_batch(tx, batch, BatchStatus.VOID, f"epoch {batch.epoch} is over")
        await close_holds(tx, "batch", f"batch_{batch.id}", "void")


async def epoch_of(client: ChainClient, treasury: Address, block: int | None = None) -> int:
    """The treasury's epoch, at the head or at a block."""
    answer = await client.call(
        TxRequest(None, treasury, encode_call("epoch()")), "latest" if block is None else block
    )
    return decode_uint(answer)


async def executed_at(client: ChainClient, batch: Batch, block: int) -> bool:
    """What the treasury said of a batch's id as of a block."""
    assert batch.epoch is not None
    assert batch.onchain_id is not None
    data = encode_executed(batch.epoch, batch.onchain_id)
    return decode_bool(await client.call(TxRequest(None, batch.target, data), block))
