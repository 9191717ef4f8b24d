"""Broadcast, and P3: the one place where bytes leave."""

from __future__ import annotations

from config.units import to_hex
from ledger.attempts import Attempt, note_broadcast, signed_bytes
from ledger.batches import get_batches, move_batch
from ledger.holds import hold
from ledger.lanes import halt_lane
from ledger.leases import Lease, check
from ledger.payouts import PayoutMove, move_payouts, payouts_of_batch
from ledger.states import BatchStatus, PayoutStatus, TransactionStatus
from ledger.store import Tx
from settlement.context import Context
from settlement.journaling import write_ahead
from settlement.verdicts import AfterSend, after_send


async def send(ctx: Context, lease: Lease, attempt: Attempt) -> None:
    """Give stored bytes to the chain's providers and record that it was done.

    A crash before the send: sent by the next tick. A crash between send and
    commit: sent again, the same bytes, which nodes know or refuse without harm.
    """
    async with ctx.ledger.reading() as tx:
        # Not an effect, but a stale leader must not even repeat what was decided.
        await check(tx, lease)
        raw = await signed_bytes(tx, attempt)
    await write_ahead(ctx, attempt, raw)
    # What was given to one provider, and got into no block for it, is given to all.
    again = attempt.attempt > 0 or attempt.status is not TransactionStatus.SIGNED
    result = await ctx.client.send_raw(raw, everywhere=again)
    ctx.observer.note(
        "sent",
        chain=ctx.name,
        lane=attempt.lane,
        nonce=attempt.nonce,
        attempt=attempt.attempt,
        tx_hash=to_hex(attempt.tx_hash),
        outcome=result.outcome.value,
        message=result.message,
    )
    reason = None if not result.message else f"{result.outcome.value}: {result.message}"
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        await note_sent(tx, attempt, reason)
        if after_send(result.outcome) is AfterSend.HALT:
            await stop_lane(tx, ctx, attempt.lane, f"refused for good: {result.message}")


async def note_sent(tx: Tx, attempt: Attempt, reason: str | None) -> None:
    """P3: the attempt, its batch and its payouts are on their way."""
    await note_broadcast(tx, attempt, reason)
    if attempt.batch_id is None:
        return
    batch = (await get_batches(tx, [attempt.batch_id]))[attempt.batch_id]
    if batch.status is BatchStatus.SEALED:
        await move_batch(tx, batch, BatchStatus.SUBMITTED)
    rows = await payouts_of_batch(tx, attempt.batch_id)
    batched = [row for row in rows if row["status"] == PayoutStatus.BATCHED]
    await move_payouts(
        tx,
        [PayoutMove(row, PayoutStatus.SUBMITTED, tx_hash=attempt.tx_hash) for row in batched],
    )


async def stop_lane(tx: Tx, ctx: Context, lane: str, reason: str) -> None:
    """Halt a lane and open a hold: nothing more is sent on it until an operator has looked."""
    await halt_lane(tx, ctx.name, lane, reason)
    await hold(tx, "lane", "lane", f"{ctx.name}/{lane}", reason)
    ctx.observer.note("lane_halted", chain=ctx.name, lane=lane, reason=reason)
