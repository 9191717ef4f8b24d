"""P2: a sealed batch gets a nonce and signed bytes; the idle lane is compared with the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from chain.reverts import describe_revert, error_name
from chain.rpc.errors import CallReverted, NodeError, RpcError
from config.errors import ConflictError
from ledger.attempts import (
    Attempt,
    attempts_of_batches,
    attempts_on,
    committed_wei,
    open_attempts,
    store_attempt,
)
from ledger.batches import Batch, Unfinished, get_batches, unfinished_batches
from ledger.holds import close_holds, hold, open_places
from ledger.lanes import Lane, get_lane, settle_nonce, take_nonce
from ledger.leases import Lease, check
from ledger.outflows import last_release
from ledger.pauses import What, active_pauses, paused_tokens, stops
from ledger.states import BatchStatus, TransactionStatus
from settlement.batching import gas_limit
from settlement.caps import Cap, cap_of, goes_on, place_of, wait_at_cap, waits_no_more
from settlement.context import Context, Policy
from settlement.fees import Fees, initial
from settlement.lanes.adopt import adopt_execution, give_up_epoch
from settlement.lanes.finality import Finality
from settlement.lanes.sending import send, stop_lane
from settlement.lanes.signing import request_of, self_transfer_gas, sign_batch, sign_self_transfer
from settlement.verdicts import IdleVerdict, judge_idle
from wallets.signer import Signer

_ESTIMATED_AT_ONCE: Final = 4
"""Batches: to estimate 400 payouts a node executes them several times over."""


_STEPPED_OVER: Final = 32
"""Batches that wait for themselves, looked at in one tick: each is an estimate."""


class Fate(Enum):
    """What came of a batch's turn."""

    SENT = auto()
    WAITS = auto()
    """For something of its own: others may go."""
    ENDS = auto()
    """The lane goes no further now."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One lane in one tick, free to send."""

    ctx: Context
    lease: Lease
    lane: Lane
    signer: Signer
    finality: Finality
    what: What
    """Of which a pause stops the lane."""


async def stored_attempts(d: Dispatch) -> list[Attempt]:
    """The lane's attempts whose outcome is not final, lowest nonce first."""
    async with d.ctx.ledger.reading() as tx:
        return await open_attempts(tx, d.ctx.name, d.lane.lane)


async def resume(d: Dispatch, attempts: Sequence[Attempt]) -> bool:
    """What was signed and perhaps not sent goes out first, with the same bytes.

    :returns: whether there was anything.
    """
    signed = [a for a in attempts if a.status is TransactionStatus.SIGNED]
    for attempt in signed:
        await send(d.ctx, d.lease, attempt)
    return bool(signed)


async def dispatch(d: Dispatch) -> bool:
    """Send as many waiting batches as may be in flight, in the order of their sealing.

    One that waits for a reason of its own is stepped over: the chain refuses it, or it is worth
    too little for what gas costs now. What others wait for too ends the round.

    :returns: whether anything may be in flight that was not before.
    """
    async with d.ctx.ledger.reading() as tx:
        found = await unfinished_batches(tx, d.ctx.name, d.lane.lane)
        if not found:
            return False
        attempts = await open_attempts(tx, d.ctx.name, d.lane.lane)
        before = await get_batches(tx, [one.after for one in found if one.after])
        stopped = await paused_tokens(tx, d.what, d.ctx.name)
    waiting = _waiting(attempts, found, before, stopped)
    if not waiting:
        return False
    if not attempts and not await _idle_agrees(d):
        return True
    left = room(d.ctx.policy, attempts)
    waiting = await _in_turn(d, waiting, left + _STEPPED_OVER)
    place, end = 0, len(waiting)
    while left > 0 and place < end:
        part = waiting[place : min(place + min(left, _ESTIMATED_AT_ONCE), end)]
        place += len(part)
        async with d.ctx.ledger.reading() as tx:
            if any(stops(p.scope, d.what, d.ctx.name) for p in await active_pauses(tx)):
                return True
            batches = await get_batches(tx, part)
        estimates = await asyncio.gather(*(_estimate(d, batches[one]) for one in part))
        for batch_id, estimate in zip(part, estimates, strict=True):
            fate = await _send_batch(d, batches[batch_id], estimate)
            if fate is Fate.ENDS:
                return True
            left -= fate is Fate.SENT
    return True


async def _estimate(d: Dispatch, batch: Batch) -> int | RpcError:
    """Gas; an error is met when it is this batch's turn: those before it go out."""
    try:
        return await d.ctx.client.estimate_gas(request_of(batch, d.lane.sender))
    except RpcError as error:
        return error


def room(policy: Policy, attempts: Sequence[Attempt]) -> int:
    """How many more nonces may be in flight. Pure."""
    all_ = {a.nonce for a in attempts}
    mined = {a.nonce for a in attempts if a.status is TransactionStatus.MINED}
    left = min(policy.max_in_flight - len(all_ - mined), policy.max_not_final - len(all_))
    return max(left, 0)


def _waiting(
    attempts: list[Attempt],
    found: list[Unfinished],
    before: dict[int, Batch],
    stopped: Collection[str],
) -> list[int]:
    """Batches without an open attempt, whose predecessor is final.

    :param stopped: tokens of which nothing new is sent: what was sealed before the breaker tripped
        must not leave after it.
    """
    busy = {a.batch_id for a in attempts}
    return [
        one.id
        for one in found
        if one.id not in busy
        and one.token not in stopped
        and (one.after is None or before[one.after].status is BatchStatus.FINAL)
    ]


async def _in_turn(d: Dispatch, waiting: list[int], most: int) -> list[int]:
    """Those to look at now, where there are too many for one tick."""
    if len(waiting) <= most:
        return waiting
    fees = f"{place_of(d.ctx.name, d.lane.lane)}/"
    async with d.ctx.ledger.reading() as tx:
        places = {
            place.removeprefix(prefix)
            for prefix in ("", fees)
            for place in await open_places(tx, "batch", f"{prefix}batch_")
        }
    held = {one for one in waiting if f"batch_{one}" in places}
    return in_turn(waiting, held, most, int(d.ctx.clock.now().timestamp()))


def in_turn(waiting: Sequence[int], held: Collection[int], most: int, turn: int) -> list[int]:
    """What nothing is known against goes first; of what waits for itself, others each second. Pure.

    :param held: batches that were looked at before, and did not go.
    """
    fresh = [one for one in waiting if one not in held]
    late = [one for one in waiting if one in held]
    first = turn % len(late) if late else 0
    return [*fresh, *late[first:], *late[:first]][:most]


async def _idle_agrees(d: Dispatch) -> bool:
    """With nothing in flight the chain's nonce must be ours: else halt, or fill the gap."""
    nonce = await d.ctx.client.nonce(d.lane.sender)
    what = nonce_of(d.lane.lane)
    if nonce == d.lane.next_nonce and not d.lane.accept_nonce:
        await d.ctx.disputes.over(d.ctx, d.lease, what)
    else:
        # What follows from it is for good: a halt, a nonce passed over, a transfer that fills one.
        told = await d.ctx.disputes.agreed(
            d.ctx, d.lease, what, lambda c: c.nonce(d.lane.sender), since=d.finality.final_block
        )
        if told is None:
            return False
        nonce = told
    d.ctx.observer.nonce_gap(d.ctx.name, d.lane.lane, d.lane.next_nonce - nonce)
    if d.lane.accept_nonce:
        async with d.ctx.ledger.transaction() as tx:
            await check(tx, d.lease)
            await settle_nonce(tx, d.ctx.name, d.lane.lane, nonce)
        return False
    match judge_idle(nonce, d.lane.next_nonce):
        case IdleVerdict.OK:
            return True
        case IdleVerdict.AHEAD:
            reason = (
                f"the chain has used nonce {nonce - 1}, the database is at {d.lane.next_nonce}: "
                "somebody else uses the key, or the database was restored"
            )
            async with d.ctx.ledger.transaction() as tx:
                await check(tx, d.lease)
                await stop_lane(tx, d.ctx, d.lane.lane, reason)
            return False
        case IdleVerdict.GAP:
            await _fill_gap(d, nonce)
            return False


def nonce_of(lane: str) -> str:
    """How a dispute about it is called."""
    return f"nonce of {lane}"


async def _fill_gap(d: Dispatch, nonce: int) -> None:
    """Nothing is skipped: an unused nonce below the lane's next gets a transfer to oneself."""
    async with d.ctx.ledger.reading() as tx:
        used = await attempts_on(tx, d.ctx.name, d.lane.sender, nonce)
    if used:
        return  # an attempt was final on it: the node lags, or finality was violated
    limit = await self_transfer_gas(d.ctx, d.lane.sender)
    offer = await _offer(d, None, limit)
    if isinstance(offer, Cap):
        return
    new = await sign_self_transfer(
        d.signer, d.ctx.chain.chain_id, d.ctx.name, d.lane.lane, "gap",
        nonce=nonce, attempt=0, gas_limit=limit, fees=offer,
    )  # fmt: skip
    async with d.ctx.ledger.transaction() as tx:
        await check(tx, d.lease)
        await store_attempt(tx, new)
    await resume(d, await stored_attempts(d))


async def _send_batch(d: Dispatch, batch: Batch, estimate: int | RpcError) -> Fate:
    """Sign, store, send; what that means for the batches behind it.

    :raises RpcError: the chain did not estimate, or does not answer.
    """
    limit = await _gas_limit(d, batch, estimate)
    if isinstance(limit, Fate):
        return limit
    offer = await _offer(d, batch, limit)
    if isinstance(offer, Cap):
        return Fate.ENDS if offer.key == "gwei" else Fate.WAITS
    if not await _can_pay(d, batch, limit * offer.max_fee + batch.value):
        return Fate.ENDS
    async with d.ctx.ledger.reading() as tx:
        lane = await get_lane(tx, d.ctx.name, d.lane.lane)
        in_flight = await open_attempts(tx, d.ctx.name, d.lane.lane)
    assert lane is not None
    new = await sign_batch(
        d.signer, d.ctx.chain.chain_id, batch,
        nonce=lane.next_nonce, attempt=0, gas_limit=limit, fees=offer,
    )  # fmt: skip
    try:
        async with d.ctx.ledger.transaction() as tx:
            # P2. Before it nothing was sent; after it these bytes are sent until the nonce is used.
            await check(tx, d.lease)
            await take_nonce(tx, lane)
            await store_attempt(tx, new)
            await close_holds(tx, "batch", f"batch_{batch.id}", "sent")
            await close_holds(tx, "batch", _gas_place(d), "funded")
            await waits_no_more(tx, batch, "fees fell")
            if all(a.status is TransactionStatus.MINED for a in in_flight):
                # Of what no block holds, the lowest may be stuck at the cap for all that is sent.
                await goes_on(tx, d.ctx.name, d.lane.lane)
    except ConflictError:
        return Fate.ENDS
    await resume(d, await stored_attempts(d))
    return Fate.SENT


async def _gas_limit(d: Dispatch, batch: Batch, estimate: int | RpcError) -> int | Fate:
    """What it may take, or why it does not go.

    :raises RpcError: the chain did not estimate.
    """
    if isinstance(estimate, CallReverted):
        await _refused(d, batch, estimate.data)
        return Fate.WAITS
    if isinstance(estimate, RpcError):
        # A node does not estimate a transfer of coin that is not there, in words of its own.
        if batch.value and not await _can_pay(d, batch, batch.value):
            return Fate.ENDS
        if isinstance(estimate, NodeError):
            # Every provider answers, and not with a number: no other batch has to wait for that.
            await _hold_batch(d, batch, f"nodes do not estimate its gas: {estimate.what}")
            return Fate.WAITS
        raise estimate
    if await _reverts_again_and_again(d, batch):
        return Fate.ENDS
    try:
        may_fail = batch.purpose in {"payout", "sweep"}
        return gas_limit(estimate, may_fail=may_fail, cap=d.ctx.chain.gas_cap)
    except ValueError as error:
        await _hold_batch(d, batch, str(error))
        return Fate.WAITS


async def _reverts_again_and_again(d: Dispatch, batch: Batch) -> bool:
    """Whether the lane was stopped for it: the node says that it would run, and it does not.

    After an operator's release it has as many tries again.
    """
    async with d.ctx.ledger.reading() as tx:
        before = await attempts_of_batches(tx, [batch.id])
        reverted = [a for a in before if a.status is TransactionStatus.REVERTED]
        place = f"{d.ctx.name}/{d.lane.lane}"
        released = await last_release(tx, "lane", place) if reverted else None
    reverts = sum(released is None or a.created_at > released for a in reverted)
    if reverts < d.ctx.policy.max_reverts:
        return False
    async with d.ctx.ledger.transaction() as tx:
        await check(tx, d.lease)
        await stop_lane(tx, d.ctx, d.lane.lane, f"batch_{batch.id} reverted {reverts} times")
    return True


async def _offer(d: Dispatch, batch: Batch | None, limit: int) -> Fees | Cap:
    """First offer; over the cap: that one, having said so."""
    quote, cap = await d.ctx.client.fees(), await cap_of(d.ctx, batch, limit, d.lane.sender)
    offer = initial(quote, cap.max_fee)
    if offer is None:
        alone = None if batch is None or cap.key == "gwei" else batch.id
        await wait_at_cap(d.ctx, d.lease, d.lane.lane, quote, cap, alone)
        return cap
    return offer


async def _can_pay(d: Dispatch, batch: Batch, wei: int) -> bool:
    """Whether the sender has the native coin; if not, a hold says which address to fund.

    What is in flight is held against it, as nodes do: a nonce that cannot be paid stands in
    the way of every one after it.
    """
    async with d.ctx.ledger.reading() as tx:
        wei += await committed_wei(tx, d.ctx.name, d.lane.sender)
    has = await d.ctx.client.balance(d.lane.sender)
    if has >= wei:
        return True
    reason = (
        f"sponsor has {has} wei of native coin and needs {wei} for batch_{batch.id} "
        "and what is in flight"
    )
    async with d.ctx.ledger.transaction() as tx:
        await hold(tx, "batch", "sponsor", _gas_place(d), reason)
    d.ctx.observer.note("sponsor_empty", chain=d.ctx.name, lane=d.lane.lane, reason=reason)
    return False


def _gas_place(d: Dispatch) -> str:
    return f"{d.ctx.name}/{d.lane.lane}/gas"


async def _refused(d: Dispatch, batch: Batch, data: bytes) -> None:
    """The chain would revert it now: executed, of a past epoch, or something to wait for."""
    name = error_name(data)
    if batch.purpose == "payout" and name == "AlreadyExecuted":
        await adopt_execution(d.ctx, d.lease, d.lane.lane, batch, d.finality)
    elif batch.purpose == "payout" and name == "WrongEpoch":
        await give_up_epoch(d.ctx, d.lease, d.lane.lane, batch, d.finality)
    else:
        await _hold_batch(d, batch, describe_revert(data))


async def _hold_batch(d: Dispatch, batch: Batch, reason: str) -> None:
    async with d.ctx.ledger.transaction() as tx:
        await check(tx, d.lease)
        await hold(tx, "batch", "batch", f"batch_{batch.id}", reason)
    d.ctx.observer.note("batch_waits", chain=d.ctx.name, batch=batch.id, reason=reason)
