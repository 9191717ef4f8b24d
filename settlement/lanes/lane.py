"""One lane, one tick: finish what is in flight, follow it, send what waits.

What it guarantees: bytes are stored before they are sent; a nonce is used for
one batch for ever; a second process with a stale lease commits nothing. What it
does not: that a transaction is mined soon; at the fee cap it waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from config.units import Address
from ledger.attempts import open_attempts
from ledger.lanes import Lane, get_lane, open_lane
from ledger.leases import Lease, check
from settlement.context import Context
from settlement.lanes.dispatch import Dispatch, dispatch, resume
from settlement.lanes.finality import Finality
from settlement.lanes.following import Following, follow
from wallets.signer import Signer


async def ensure_lane(ctx: Context, lease: Lease, lane: str, sender: Address) -> Lane:
    """The lane; opened at the sender's nonce on chain when it is used for the first time.

    :raises ConflictError: it belongs to another sender.
    """
    async with ctx.ledger.reading() as tx:
        known = await get_lane(tx, ctx.name, lane)
    if known is not None and known.sender == sender:
        return known
    nonce = await ctx.client.nonce(sender)
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        return await open_lane(tx, ctx.name, lane, sender, nonce)


async def tick_lane(
    ctx: Context,
    lease: Lease,
    name: str,
    signer: Signer,
    finality: Finality,
    *,
    may_send: bool,
    seal: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """One bounded round.

    :param may_send: ``False`` while paused, halted or draining: then only watch.
    :param seal: makes new batches, after what is in flight has been looked after.
    :raises LeaseLostError: another process leads; nothing of this round may be trusted.
    :raises RpcError: the chain does not answer; the next round goes on.
    """
    lane = await ensure_lane(ctx, lease, name, signer.address)
    may_send = may_send and lane.halted_reason is None
    d = Dispatch(ctx, lease, lane, signer, finality)
    if may_send:
        await resume(d)
    await follow(Following(ctx, lease, lane, signer, finality, may_send))
    if may_send and await _still_open(ctx, lane):
        if seal is not None:
            await seal()
        await dispatch(d)
    await _observe(ctx, lane)


async def _still_open(ctx: Context, lane: Lane) -> bool:
    async with ctx.ledger.reading() as tx:
        now = await get_lane(tx, lane.chain, lane.lane)
    return now is not None and now.halted_reason is None


async def _observe(ctx: Context, lane: Lane) -> None:
    async with ctx.ledger.reading() as tx:
        attempts = await open_attempts(tx, ctx.name, lane.lane)
    oldest = min((a.created_at for a in attempts), default=None)
    age = 0.0 if oldest is None else (ctx.clock.now() - oldest).total_seconds()
    ctx.observer.tx_pending(ctx.name, lane.lane, len({a.nonce for a in attempts}), age)
