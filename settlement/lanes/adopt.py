"""A batch that somebody else executed: anyone may submit a signed batch, and it counts.

"Already executed" never means *queue again*. It means: find the execution, compare
its content, and book it as ours.
"""

from __future__ import annotations

from chain.abi import decode_bool, decode_uint, encode_call
from chain.answers import read_answer
from chain.client import ChainClient
from chain.helper_contracts import (
    EPOCH_RAISED,
    decode_batch_executed,
    decode_epoch_raised,
    encode_executed,
    executed_topics,
)
from chain.model import Log, Receipt, TxRequest
from chain.rpc.errors import RpcError
from config.units import Address
from ledger.batches import Batch, move_batch
from ledger.holds import close_holds, hold
from ledger.leases import Lease, check
from ledger.payouts import PayoutMove, move_payouts, payouts_of_batch
from ledger.states import BatchStatus, PayoutStatus
from settlement.caps import waits_no_more
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

    What is true after the raise stays so, and is asked of the head.
    """
    if not await _is_over(ctx, lease, batch, finality):
        return
    what = f"batch_{batch.id}"
    told = await ctx.disputes.agreed(
        ctx, lease, what, lambda c: _epoch_and_executed(c, batch), since=finality.final_block
    )
    if told is None:
        return
    epoch, ran = told
    assert batch.epoch is not None
    if epoch <= batch.epoch:
        return  # whoever answered is behind the raise: next tick
    if ran:
        await adopt_execution(ctx, lease, lane, batch, finality)
        return
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        rows = await payouts_of_batch(tx, batch.id)
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.QUEUED) for row in rows])
        await move_batch(tx, batch, BatchStatus.VOID, f"epoch {batch.epoch} is over")
        await close_holds(tx, "batch", f"batch_{batch.id}", "void")
        await waits_no_more(tx, batch, "void")


async def _is_over(ctx: Context, lease: Lease, batch: Batch, finality: Finality) -> bool:
    """Whether the raise that ended the batch's epoch is final.

    Shown by its log. Most nodes keep the state of some 128 blocks, and on a rollup the final one
    lies further back: that is asked only where the raise lies before the sealing, by which no
    batch should have been signed for that epoch any more.
    """
    final = finality.final_block
    if final is None or batch.epoch is None:
        return False
    raised = await _raise_of(ctx, batch)
    if raised is not None:
        canonical = await is_final(ctx.client, ctx.ledger, finality, raised)
        return canonical and await borne_out(ctx, lease, finality, raised)
    try:
        what = f"final epoch of batch_{batch.id}"
        current = await ctx.disputes.agreed(
            ctx, lease, what, lambda c: epoch_of(c, batch.target, final)
        )
    except RpcError as error:
        reason = f"its epoch is over, and no provider shows since when: {error.what}"
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await hold(tx, "batch", "batch", f"batch_{batch.id}", reason)
        return False
    return current is not None and current > batch.epoch


async def _raise_of(ctx: Context, batch: Batch) -> Receipt | None:
    """The transaction that ended the batch's epoch, if a block from its sealing on holds it."""
    head = await ctx.client.block("latest")
    if head is None:
        return None
    topics = (EPOCH_RAISED,)
    for log in await logs_between(
        ctx.client, batch.sealed_block, head.number, [batch.target], topics
    ):
        receipt = await ctx.client.receipt(log.tx_hash)
        # What counts is what the receipt holds: two providers will have to show the same one.
        if receipt is not None and any(_ends(batch, one) for one in receipt.logs):
            return receipt
    return None


def _ends(batch: Batch, log: Log) -> bool:
    epoch = decode_epoch_raised(log, batch.target)
    return epoch is not None and batch.epoch is not None and epoch > batch.epoch


async def _epoch_and_executed(client: ChainClient, batch: Batch) -> tuple[int, bool]:
    """The treasury's epoch and whether the batch ran, in one request: of one block, or nearly."""
    assert batch.epoch is not None
    assert batch.onchain_id is not None
    data = encode_executed(batch.epoch, batch.onchain_id)
    asked = [TxRequest(None, batch.target, call) for call in (encode_call("epoch()"), data)]
    epoch, ran = await client.calls(asked)
    return read_answer(epoch, decode_uint), read_answer(ran, decode_bool)


async def epoch_of(client: ChainClient, treasury: Address, block: int | None = None) -> int:
    """The treasury's epoch, at the head or at a block."""
    answer = await client.call(
        TxRequest(None, treasury, encode_call("epoch()")), "latest" if block is None else block
    )
    return read_answer(answer, decode_uint)
