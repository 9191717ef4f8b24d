"""P6: what a final receipt does to the books, one commit per transaction.

The authority on *final* is the watcher's committed cursor; who calls this has
checked that the receipt's block is canonical and at or below it.
"""

from __future__ import annotations

from dataclasses import replace

from chain.helper_contracts import decode_pay_batch, swept_token
from chain.model import Receipt
from config.units import Address, checksum
from ledger.attempts import Attempt, move_attempt, note_broadcast
from ledger.batches import Batch, batches_after, get_batches, move_batch
from ledger.books import post
from ledger.holds import close_holds, hold
from ledger.pauses import pause, scope_of
from ledger.payouts import PayoutMove, move_payouts, payouts_of_batch
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.states import BatchStatus, PayoutStatus, TransactionStatus
from ledger.store import Tx
from ledger.sweeps import SweepItem, finish_items, items_of_batches
from ledger.views import Row
from settlement.caps import waits_no_more
from settlement.context import Context
from settlement.outcome import (
    Outcome,
    PayoutBatch,
    judge_payouts,
    judge_sweep,
    judge_transfer,
)
from settlement.stopping import stop_token, take_out


async def finish_attempt(
    tx: Tx, ctx: Context, group: list[Attempt], mined: Attempt, receipt: Receipt
) -> None:
    """Settle a nonce for good: the mined attempt, its replacements, its batch, its gas.

    :param group: every open attempt on the nonce, ``mined`` among them, as stored.
    """
    ok = receipt.status == 1
    status = TransactionStatus.FINAL if ok else TransactionStatus.REVERTED
    await move_attempt(tx, mined, status, final_at=tx.now)
    for other in group:
        if other.id == mined.id:
            continue
        if other.status is TransactionStatus.SIGNED:
            # Stored and never sent: its nonce is gone, so it passes through in one commit.
            await note_broadcast(tx, other, "never sent")
            other = replace(other, status=TransactionStatus.BROADCAST)  # noqa: PLW2901
        await move_attempt(tx, other, TransactionStatus.REPLACED)
    await post(tx, [gas_posting(ctx, mined, receipt)])
    if mined.batch_id is None:
        return
    batch = (await get_batches(tx, [mined.batch_id]))[mined.batch_id]
    await finish_batch(tx, ctx, batch, receipt)


def gas_posting(ctx: Context, attempt: Attempt, receipt: Receipt) -> Transfer:
    """Gas spent, in the native coin."""
    native = ctx.chain.native_symbol
    return Transfer(
        f"gas:{attempt.id}",
        AccountRef(AccountKind.GAS, ctx.name, native),
        AccountRef(AccountKind.SPONSORS, ctx.name, native),
        receipt.fee,
        attempt.purpose,
        f"tx:{attempt.id}",
    )


async def finish_batch(tx: Tx, ctx: Context, batch: Batch, receipt: Receipt) -> None:
    """What a final receipt says about a batch, in the books."""
    match batch.purpose:
        case "payout":
            await _finish_payouts(tx, ctx, batch, receipt)
        case "sweep" if batch.target == ctx.contracts.factory:
            # It created addresses and moved nothing; what is there now, the next look says.
            await close_batch(tx, batch, executed=receipt.status == 1)
        case "sweep" | "transfer":
            await _finish_sweep(tx, ctx, batch, receipt)
        case _:
            await close_batch(tx, batch, executed=receipt.status == 1)
            if receipt.status != 1:
                await _give_up_after(tx, ctx, batch)


async def _give_up_after(tx: Tx, ctx: Context, top_up: Batch) -> None:
    """An address got no gas: what waits for that never goes, and its deposit is free again."""
    for batch in await batches_after(tx, top_up.id):
        items = await items_of_batches(tx, [batch.id])
        reason = "the transfer of gas to it reverted"
        await finish_items(tx, items, {item.batch_index: reason for item in items}, {})
        for item in items:
            place = f"{ctx.name}/{item.address.hex()}/{item.token}"
            await hold(tx, "batch", "sweep", place, reason)
        await close_batch(tx, batch, executed=False)


def token_of(ctx: Context, batch: Batch) -> Address:
    """The contract that a batch moves; where it is not configured any more, by its own call."""
    known = ctx.ledger.catalogue.find_token(batch.chain, batch.token)
    if known is not None:
        return known.address
    match batch.purpose:
        case "payout":
            return decode_pay_batch(batch.calldata)[2]
        case "transfer":
            return batch.target
        case _:
            return swept_token(batch.calldata)


def payout_batch_of(ctx: Context, batch: Batch, rows: list[Row]) -> PayoutBatch:
    """A stored batch as the judge of receipts takes it."""
    assert batch.epoch is not None
    assert batch.onchain_id is not None
    return PayoutBatch(
        treasury=batch.target,
        token=token_of(ctx, batch),
        epoch=batch.epoch,
        onchain_id=batch.onchain_id,
        content_hash=batch.content_hash,
        entries=tuple((Address(row["address"]), int(row["amount"])) for row in rows),
    )


async def _finish_payouts(tx: Tx, ctx: Context, batch: Batch, receipt: Receipt) -> None:
    rows = await payouts_of_batch(tx, batch.id)
    outcome = judge_payouts(payout_batch_of(ctx, batch, rows), receipt)
    if outcome.surprises:
        await _alarm(tx, ctx, batch, outcome)
    if not outcome.executed:
        # Its signature stays valid for ever: anyone may still submit these very bytes. So
        # the batch keeps its id and content and is sent again; new ids would pay twice.
        return
    # Executed by a stranger before we sent it:
    unsent = [row for row in rows if row["status"] == PayoutStatus.BATCHED]
    await move_payouts(tx, [PayoutMove(row, PayoutStatus.SUBMITTED) for row in unsent])
    moves = []
    for index, row in enumerate(rows):
        sent = {**row, "status": PayoutStatus.SUBMITTED.value}
        reason = outcome.failures.get(index)
        if reason is None:
            moves.append(PayoutMove(sent, PayoutStatus.PAID, tx_hash=receipt.tx_hash))
        else:
            moves.append(PayoutMove(sent, PayoutStatus.ON_HOLD, reason=reason))
    await move_payouts(tx, moves)
    await close_batch(tx, batch, executed=True)
    held = len(outcome.failures)
    ctx.observer.payouts_finished(ctx.name, batch.token, len(rows) - held, held)


async def _alarm(tx: Tx, ctx: Context, batch: Batch, outcome: Outcome) -> None:
    """The breaker: logs that are not what was planned stop this chain's payouts."""
    reason = "; ".join(outcome.surprises[:3])
    # A name of its own: the batch's holds close as it ends, this one waits for a person.
    reason = f"batch_{batch.id}: {reason}"
    await hold(tx, "batch", "breaker", f"{ctx.name}//batch_{batch.id}", reason)
    await pause(tx, scope_of("payouts", ctx.name), reason)
    ctx.observer.note("unexpected_logs", chain=ctx.name, batch=batch.id, reason=reason)


async def _finish_sweep(tx: Tx, ctx: Context, batch: Batch, receipt: Receipt) -> None:
    items = await items_of_batches(tx, [batch.id])
    outcome = judge_items(ctx, batch, items, receipt)
    if outcome.surprises:
        await _alarm(tx, ctx, batch, outcome)
    failures = outcome.failures
    if not outcome.executed:
        failures = {item.batch_index: "the transaction reverted" for item in items}
    await finish_items(tx, items, failures, outcome.received)
    for item in items:
        if item.batch_index in failures:
            place = f"{ctx.name}/{item.address.hex()}/{item.token}"
            await hold(tx, "batch", "sweep", place, failures[item.batch_index])
    if outcome.astray is not None:
        await _gone_astray(tx, ctx, batch, sum(outcome.received.values()), outcome.astray)
    await close_batch(tx, batch, executed=outcome.executed)


async def _gone_astray(tx: Tx, ctx: Context, batch: Batch, units: int, sink: Address) -> None:
    """What a sweep brought to where the collector's owner has moved the sink meanwhile.

    It is booked as if it had come to the treasury and left again: nothing is at the addresses
    any more, and what became of it is for a person to say.
    """
    key = f"astray:{ctx.name}/batch_{batch.id}"
    if units and await take_out(tx, ctx, batch.token, units, key, "swept elsewhere"):
        reason = f"{units} base units were swept to {checksum(sink)}, not to the treasury"
        await stop_token(tx, ctx, batch.token, "suspense", reason)


def judge_items(ctx: Context, batch: Batch, items: list[SweepItem], receipt: Receipt) -> Outcome:
    """What a receipt says about a sweep or a deposit address's own transfer."""
    token = token_of(ctx, batch)
    entries = [(item.address, item.amount) for item in items]
    sink = ctx.contracts.treasury
    if batch.purpose == "transfer":
        return judge_transfer(sink, token, entries[0], receipt)
    return judge_sweep(batch.target, sink, token, entries, receipt)


async def close_batch(tx: Tx, batch: Batch, *, executed: bool) -> None:
    """Final or void, through the states between, whatever was recorded before."""
    if batch.status is BatchStatus.SEALED:
        await move_batch(tx, batch, BatchStatus.SUBMITTED)
    resolution = "executed" if executed else "void"
    await close_holds(tx, "batch", f"batch_{batch.id}", resolution)
    await waits_no_more(tx, batch, resolution)
    if executed:
        await move_batch(tx, batch, BatchStatus.EXECUTED)
        await move_batch(tx, batch, BatchStatus.FINAL)
        return
    if batch.status is BatchStatus.EXECUTED:
        await move_batch(tx, batch, BatchStatus.SUBMITTED)
    await move_batch(tx, batch, BatchStatus.VOID, "reverted")
