"""Following what was sent: P5 and P6, reorgs, resends, and P4, replacements."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from chain.model import Receipt
from chain.rpc.errors import RpcError
from ledger.attempts import Attempt, move_attempt, open_attempts, store_attempt
from ledger.batches import get_batches, move_batch
from ledger.lanes import Lane, settle_nonce
from ledger.leases import Lease, check
from ledger.outflows import last_release
from ledger.sql import chunked
from ledger.states import BatchStatus, TransactionStatus
from ledger.store import Tx
from settlement.caps import cap_of_id, goes_on, wait_at_cap
from settlement.context import Context
from settlement.fees import Fees, stuck
from settlement.finish import finish_attempt
from settlement.lanes.agreement import borne_out, close_dispute
from settlement.lanes.finality import Finality, is_final
from settlement.lanes.sending import send, stop_lane
from settlement.lanes.signing import self_transfer_gas, sign_batch, sign_self_transfer
from settlement.receipts import AT_ONCE
from settlement.verdicts import NonceStep, Pending, next_step
from wallets.signer import Signer


@dataclass(frozen=True, slots=True)
class Following:
    """One lane in one tick.

    :param may_send: ``False`` while paused, halted or draining: then only watch.
    """

    ctx: Context
    lease: Lease
    lane: Lane
    signer: Signer
    finality: Finality
    may_send: bool


async def follow(f: Following, attempts: Sequence[Attempt]) -> None:
    """Bring every nonce in flight one step further, lowest first.

    :param attempts: the lane's open ones, by nonce, then by attempt.
    """
    sent = [a for a in attempts if a.status is not TransactionStatus.SIGNED]
    if not sent:
        return
    groups = [list(same_nonce) for _, same_nonce in groupby(sent, key=lambda a: a.nonce)]
    lowest = True
    for part in chunked(groups, AT_ONCE):
        lowest = await _follow_part(f, part, lowest=lowest)


async def _follow_part(f: Following, groups: Sequence[list[Attempt]], *, lowest: bool) -> bool:
    """A few nonces; whether none of them, or of those before, still waits for a block."""
    asked = [attempt for group in groups for attempt in group]
    receipts = await f.ctx.client.receipts([a.tx_hash for a in asked])
    found = {a.id: r for a, r in zip(asked, receipts, strict=True) if r is not None}
    for group in groups:
        mined = next((a for a in reversed(group) if a.id in found), None)
        if mined is not None:
            await _mined(f, group, mined, found[mined.id])
        else:
            await _unmined(f, group, is_lowest=lowest)
            lowest = False
    return lowest


async def _mined(f: Following, group: list[Attempt], mined: Attempt, receipt: Receipt) -> None:
    final = await is_final(f.ctx.client, f.ctx.ledger, f.finality, receipt)
    known = mined.status is TransactionStatus.MINED and mined.block_hash == receipt.block_hash
    if not known:
        # P5. A crash before it costs nothing: the receipt is asked for again.
        async with f.ctx.ledger.transaction() as tx:
            await check(tx, f.lease)
            await _record_mined(tx, group, mined, receipt)
        await f.ctx.disputes.over(f.ctx, f.lease, _final_nonce_of(f))
    if not final:
        return
    if not await borne_out(f.ctx, f.lease, f.finality, receipt):
        return
    async with f.ctx.ledger.transaction() as tx:
        await check(tx, f.lease)
        fresh = [
            a for a in await open_attempts(tx, f.ctx.name, f.lane.lane) if a.nonce == mined.nonce
        ]
        stored = next((a for a in fresh if a.id == mined.id), None)
        if stored is None or stored.status is not TransactionStatus.MINED:
            return
        await finish_attempt(tx, f.ctx, fresh, stored, receipt)
        await close_dispute(tx, f.ctx, receipt)
    f.ctx.observer.fee_paid(f.ctx.name, mined.purpose, receipt.fee)


async def _record_mined(tx: Tx, group: list[Attempt], mined: Attempt, receipt: Receipt) -> None:
    # Before the reorg another attempt on this nonce was in a block: back first, the
    # database allows one mined attempt per nonce.
    for other in group:
        if other.id != mined.id and other.status is TransactionStatus.MINED:
            await _to_broadcast(tx, other)
    await goes_on(tx, mined.chain, mined.lane)
    await move_attempt(
        tx,
        mined,
        TransactionStatus.MINED,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        gas_used=receipt.gas_used,
        fee_paid=receipt.fee,
    )
    if mined.batch_id is not None and receipt.status == 1:
        batch = (await get_batches(tx, [mined.batch_id]))[mined.batch_id]
        if batch.status is BatchStatus.SUBMITTED:
            await move_batch(tx, batch, BatchStatus.EXECUTED)


async def _to_broadcast(tx: Tx, attempt: Attempt) -> None:
    await move_attempt(
        tx,
        attempt,
        TransactionStatus.BROADCAST,
        block_number=None,
        block_hash=None,
        gas_used=None,
        fee_paid=None,
    )


async def _unmined(f: Following, group: list[Attempt], *, is_lowest: bool) -> None:
    lost = next((a for a in group if a.status is TransactionStatus.MINED), None)
    if lost is not None:
        await _reorged(f, lost)
        return
    if not f.may_send:
        return
    newest = group[-1]
    assert newest.broadcast_at is not None
    now = f.ctx.clock.now()
    if now - newest.broadcast_at < f.ctx.policy.patience.look_after:
        return
    pending = Pending(
        nonce=newest.nonce,
        offers=[Fees(a.max_fee, a.max_tip) for a in group],
        broadcast_at=newest.broadcast_at,
        final_nonce=await _final_nonce(f, newest, now),
        is_lowest=is_lowest,
        offered_at=newest.created_at,
        unseen=is_lowest and await _unseen(f, group),
    )
    quote = await f.ctx.client.fees()
    cap = await cap_of_id(f.ctx, newest.batch_id, newest.gas_limit, newest.sender)
    patience = f.ctx.policy.patience
    step, fees = next_step(pending, quote, cap.max_fee, patience, now)
    if step is not NonceStep.FOREIGN:
        await f.ctx.disputes.over(f.ctx, f.lease, _final_nonce_of(f))
    elif not await _foreign(f, group):
        # Nobody bears it out: one that says so must not keep it from being helped along.
        unknown = dataclasses.replace(pending, final_nonce=None)
        step, fees = next_step(unknown, quote, cap.max_fee, patience, now)
    if is_lowest and stuck(pending.offers[-1], quote, cap.max_fee):
        await wait_at_cap(f.ctx, f.lease, f.lane.lane, quote, cap)
    match step:
        case NonceStep.WAIT | NonceStep.FOREIGN:
            return
        case NonceStep.RESEND:
            await send(f.ctx, f.lease, newest)
        case NonceStep.BUMP:
            assert fees is not None
            await replace(f, newest, fees)


async def _reorged(f: Following, lost: Attempt) -> None:
    """It left the chain: back to broadcast, and the same bytes are sent again."""
    async with f.ctx.ledger.transaction() as tx:
        await check(tx, f.lease)
        await _to_broadcast(tx, lost)
        if lost.batch_id is not None:
            batch = (await get_batches(tx, [lost.batch_id]))[lost.batch_id]
            if batch.status is BatchStatus.EXECUTED:
                await move_batch(tx, batch, BatchStatus.SUBMITTED)
        stored = [a for a in await open_attempts(tx, f.ctx.name, f.lane.lane) if a.id == lost.id]
    f.ctx.observer.note("transaction_reorged", chain=f.ctx.name, nonce=lost.nonce)
    if f.may_send:
        await send(f.ctx, f.lease, stored[0])


async def _final_nonce(f: Following, attempt: Attempt, now: datetime) -> int | None:
    """The sender's nonce at the final block; asked only of what is overdue."""
    final = f.finality.final_block
    assert attempt.broadcast_at is not None
    if final is None or now - attempt.broadcast_at < f.ctx.policy.patience.bump_after:
        return None
    try:
        return await f.ctx.client.nonce(attempt.sender, final)
    except RpcError:
        return None  # a pruned node has no state so far back: go on without


async def _unseen(f: Following, group: list[Attempt]) -> bool:
    """Whether the node has dropped every version: an accepted transaction may be evicted."""
    for attempt in reversed(group):
        known, _ = await f.ctx.client.transaction_block(attempt.tx_hash)
        if known:
            return False
    return True


def _final_nonce_of(f: Following) -> str:
    """How a dispute about it is called."""
    return f"final nonce of {f.lane.lane}"


async def _foreign(f: Following, group: list[Attempt]) -> bool:
    """The nonce is used for good and none of our hashes has a receipt, here or elsewhere.

    ``False``: it is not, or providers differ about it.

    Once an operator has released the lane, what was signed on it before is dead, and its batch
    is sent on another nonce: one that ran all the same, by other hands, is refused by the chain.
    """
    other = f.ctx.client.second()
    with suppress(RpcError):  # who does not answer has no opinion
        if other is not None and any(await other.receipts([a.tx_hash for a in group])):
            return True
    nonce, final = group[0].nonce, f.finality.final_block
    assert final is not None
    told = await f.ctx.disputes.agreed(
        f.ctx, f.lease, _final_nonce_of(f), lambda c: c.nonce(group[0].sender, final)
    )
    if told is None or told <= nonce:
        return False
    reason = f"nonce {nonce} was used by a transaction that is not ours"
    async with f.ctx.ledger.transaction() as tx:
        await check(tx, f.lease)
        released = await last_release(tx, "lane", f"{f.ctx.name}/{f.lane.lane}")
        if released is None or released < group[0].created_at:
            await stop_lane(tx, f.ctx, f.lane.lane, reason)
            return True
        for attempt in await open_attempts(tx, f.ctx.name, f.lane.lane):
            if attempt.nonce == nonce and attempt.status is TransactionStatus.BROADCAST:
                await move_attempt(tx, attempt, TransactionStatus.DEAD, reason=reason)
        await settle_nonce(tx, f.ctx.name, f.lane.lane, nonce + 1)
    return True


async def replace(f: Following, newest: Attempt, fees: Fees, *, cancel: bool = False) -> None:
    """P4: the same work on the same nonce at a higher offer, stored before it is sent.

    :param cancel: a transfer to oneself instead; the outcome is whichever is mined.
    """
    attempt = newest.attempt + 1
    if newest.batch_id is None or cancel:
        purpose = "cancel" if cancel else newest.purpose
        limit = await self_transfer_gas(f.ctx, f.lane.sender)
        new = await sign_self_transfer(
            f.signer, f.ctx.chain.chain_id, f.ctx.name, f.lane.lane, purpose,
            nonce=newest.nonce, attempt=attempt, gas_limit=limit, fees=fees,
        )  # fmt: skip
    else:
        async with f.ctx.ledger.reading() as tx:
            batch = (await get_batches(tx, [newest.batch_id]))[newest.batch_id]
        new = await sign_batch(
            f.signer, f.ctx.chain.chain_id, batch,
            nonce=newest.nonce, attempt=attempt, gas_limit=newest.gas_limit, fees=fees,
        )  # fmt: skip
    async with f.ctx.ledger.transaction() as tx:
        await check(tx, f.lease)
        attempt_id = await store_attempt(tx, new)
        stored = next(
            a for a in await open_attempts(tx, f.ctx.name, f.lane.lane) if a.id == attempt_id
        )
    f.ctx.observer.replaced(f.ctx.name, f.lane.lane)
    await send(f.ctx, f.lease, stored)
