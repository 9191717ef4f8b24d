"""One lane, one tick: finish what is in flight, follow it, send what waits.

What it guarantees: bytes are stored before they are sent; a nonce is used for
one batch for ever; a second process with a stale lease commits nothing. What it
does not: that a transaction is mined soon; at the fee cap it waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from chain.rpc.errors import NodeBehind
from config.units import Address
from ledger.attempts import Attempt
from ledger.lane_state import read_lane_state
from ledger.lanes import Lane, open_lane
from ledger.leases import Lease, check
from ledger.pauses import What
from settlement.apart import Apart
from settlement.context import Context
from settlement.lanes.dispatch import Dispatch, dispatch, nonce_of, resume, stored_attempts
from settlement.lanes.finality import Finality
from settlement.lanes.following import Following, follow
from wallets.signer import Signer


async def _open(ctx: Context, lease: Lease, lane: str, sender: Address, finality: Finality) -> Lane:
    """Used for the first time: opened at the sender's nonce on chain.

    :raises ConflictError: it belongs to another sender.
    :raises NodeBehind: two providers tell different nonces.
    """
    nonce = await ctx.disputes.agreed(
        ctx, lease, nonce_of(lane), lambda c: c.nonce(sender), since=finality.final_block
    )
    if nonce is None:
        raise NodeBehind(f"two providers tell different nonces of {lane}", where=ctx.name)
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        return await open_lane(tx, ctx.name, lane, sender, nonce)


async def tick_lane(
    ctx: Context,
    lease: Lease,
    name: str,
    what: What,
    signer: Signer,
    finality: Finality,
    *,
    may_send: bool,
    seal: Callable[[], Awaitable[int]] | None = None,
) -> None:
    """One bounded round.

    :param what: of which a pause leaves only the watching. Read anew for each lane: a pause
        takes effect within one tick.
    :param may_send: ``False`` while halted or draining: the same.
    :param seal: makes new batches and says how many, after what is in flight has been looked
        after; ``None``: nothing waits.
    :raises LeaseLostError: another process leads; nothing of this round may be trusted.
    :raises RpcError: the chain does not answer; the next round goes on.
    :raises WalletError: a signer refuses; the same.
    """
    async with ctx.ledger.reading() as tx:
        state = await read_lane_state(tx, ctx.name, name, what)
    lane, attempts = state.lane, state.attempts
    if lane is None and not may_send:
        return  # opened now, it would hide from a comparison that its sender was used before
    if lane is None or lane.sender != signer.address:
        lane = await _open(ctx, lease, name, signer.address, finality)
    may_send = may_send and not state.paused and lane.halted_reason is None
    d = Dispatch(ctx, lease, lane, signer, finality, what)
    if attempts:
        if may_send and await resume(d, attempts):
            attempts = await stored_attempts(d)
        await follow(Following(ctx, lease, lane, signer, finality, may_send), attempts)
        may_send = may_send and await _still_free(ctx, lane, what)
    sent, sealed = False, 0
    apart = Apart(ctx)
    if may_send:
        with apart.part():
            sealed = 0 if seal is None else await seal()
        # What could not be sealed has nothing to do with what is sealed already.
        if sealed or state.has_batches or apart.failed:
            with apart.part():
                sent = await dispatch(d)
    _observe(ctx, lane, await stored_attempts(d) if attempts or sent else [])
    apart.end()


async def _still_free(ctx: Context, lane: Lane, what: What) -> bool:
    """What was followed may have halted the lane, or tripped the breaker."""
    async with ctx.ledger.reading() as tx:
        now = await read_lane_state(tx, lane.chain, lane.lane, what)
    return now.lane is not None and now.lane.halted_reason is None and not now.paused


def _observe(ctx: Context, lane: Lane, attempts: Sequence[Attempt]) -> None:
    oldest = min((a.created_at for a in attempts), default=None)
    age = 0.0 if oldest is None else (ctx.clock.now() - oldest).total_seconds()
    ctx.observer.tx_pending(ctx.name, lane.lane, len({a.nonce for a in attempts}), age)
