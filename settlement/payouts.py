"""From queued payouts to sealed batches: simulate, set aside who would fail, P1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from chain.helper_contracts import (
    MAX_ENTRY_AMOUNT,
    batch_digest,
    content_hash,
    encode_pay_batch,
    pack_batch,
)
from chain.rpc.errors import RpcError
from config.errors import ConflictError
from config.units import Address, Amount
from ledger.batches import NewBatch, next_onchain_id, not_executed, seal_batch
from ledger.books import totals_of
from ledger.destinations import cancel_revoked, revoked_among
from ledger.held_payouts import held_payouts, held_tokens
from ledger.holds import close_holds, hold
from ledger.leases import Lease, check
from ledger.limits import base_units
from ledger.pauses import paused_tokens
from ledger.payouts import (
    PayoutMove,
    largest_payouts,
    lock_payouts,
    move_payouts,
    put_into_batch,
    queued_payouts,
)
from ledger.postings import AccountKind, AccountRef, InsufficientFundsError, available
from ledger.receivables import open_debts, recover_debts
from ledger.runs import planning_goes_on
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row
from settlement.agreed import agreed
from settlement.apart import Apart
from settlement.batching import most_entries, pick_batch
from settlement.context import Context
from settlement.lanes.adopt import epoch_of
from settlement.lanes.finality import Finality
from settlement.listed_treasury import issuer_stops
from settlement.outflow import OutflowGuard
from settlement.planning import REFUSED
from settlement.restore.scanning import executed_ids, executed_of
from settlement.simulation import blacklisted, is_token_paused, simulate
from settlement.worth import Worth

LANE = "payouts"
TOKEN_PAUSED = "token is paused"  # noqa: S105
TOO_LARGE = "more than an entry of a batch can hold"
BLACKLISTED = "recipient is blacklisted by the token's issuer"
_MOST_QUEUED = 2_000
"""Of each token in one tick: five batches; more would be memory, and are sealed by the next."""
_COMPANY = timedelta(seconds=10)
"""How long a batch that is not full waits while more payouts are being planned."""
_MOST_BATCHES = 30
"""Batches sealed in one tick; what is left goes with the next."""


class UnknownExecutionError(ConflictError):
    """The chain has executed an id that these books do not know: compare them again."""


async def seal_payouts(
    ctx: Context,
    lease: Lease,
    finality: Finality,
    guard: OutflowGuard | None = None,
    worth: Worth | None = None,
) -> int:
    """Seal what the treasury can pay; returns how many batches were made.

    :raises UnknownExecutionError: nothing may be sealed before books and chain are compared.
    :raises RpcError: about one token the chain did not answer; the others were looked after.
    :raises WalletError: the same, of the signer.
    """
    sealed = 0
    apart = Apart(ctx)
    guard = guard or OutflowGuard()
    guard.begin_tick()
    worth = worth or Worth(ctx.name)
    queue = await _waiting(ctx)
    await worth.tidy(ctx, lease, {row["token"] for row in queue})
    limits = base_units(ctx.ledger.catalogue, ctx.settings.transaction_limit)
    at_once = {token: units for (chain, token), units in limits.items() if chain == ctx.name}
    for _ in range(_MOST_BATCHES):
        async with ctx.ledger.reading() as tx:
            coming = await planning_goes_on(tx)
            drawable = await _drawable(tx, ctx, queue)
            now = tx.now
        picked = pick_batch(queue, drawable, ctx.settings.max_batch, at_once)
        if picked is None:
            break
        token, rows = picked
        full = len(rows) == most_entries(ctx.settings.max_batch)
        if coming and not full and now - rows[0]["created_at"] < _COMPANY:
            break
        left = {token}
        with apart.part():
            stopped = await _drop_revoked(ctx, lease, rows)
            if not stopped and await worth.waits(ctx, lease, token, rows):
                rows = await _worth_by_themselves(ctx, worth, token, queue, rows, at_once)
                stopped = not rows or await _drop_revoked(ctx, lease, rows)
            stopped = stopped or await guard.stops(ctx, lease, token, rows)
            if not stopped and await _covered(ctx, lease, token, rows):
                payable = await _set_aside(ctx, lease, token, rows, finality)
                if payable == [] or (payable and await _seal(ctx, lease, token, payable, finality)):
                    left.clear()
                    sealed += bool(payable)
        # Looked at again by the next tick; other tokens have nothing to do with it.
        done = {row["id"] for row in rows}
        queue = [r for r in queue if r["id"] not in done and r["token"] not in left]
    apart.end()
    return sealed


async def _worth_by_themselves(
    ctx: Context,
    worth: Worth,
    token: str,
    queue: Sequence[Row],
    rows: Sequence[Row],
    at_once: Mapping[str, int],
) -> list[Row]:
    """The largest payouts of a token, as many as are worth their gas by themselves, where those
    that came first are not; empty: none are. A merchant who asks for very many small ones,
    refunds of a cent, would else keep everybody's from being sealed.
    """
    if len(rows) < sum(row["token"] == token for row in queue):  # not all that there are
        largest = await _waiting(ctx, largest_of=token)
        async with ctx.ledger.reading() as tx:
            drawable = await _drawable(tx, ctx, largest)
        picked = pick_batch(largest, drawable, ctx.settings.max_batch, at_once)
        rows = [] if picked is None else picked[1]
    return await worth.by_themselves(ctx, token, rows)


async def _waiting(ctx: Context, *, largest_of: str | None = None) -> list[Row]:
    """Queued payouts that nothing stops; read once a tick: sealing looks at each again.

    :param largest_of: of this token, largest first; else of all, oldest first.
    """
    async with ctx.ledger.reading() as tx:
        stopped = await paused_tokens(tx, "payouts", ctx.name)
        owing = {(d.merchant_id, d.token) for d in await open_debts(tx, ctx.name)}
        if largest_of is None:
            queued = await queued_payouts(tx, ctx.name, _MOST_QUEUED, without=stopped)
        else:
            queued = await largest_payouts(tx, ctx.name, largest_of, _MOST_QUEUED)
    return [
        r
        for r in queued
        if (r["merchant_id"], r["token"]) not in owing
        # It waits until its token is configured again; the others go.
        and ctx.ledger.catalogue.find_token(ctx.name, r["token"]) is not None
    ]


async def _drop_revoked(ctx: Context, lease: Lease, rows: Sequence[Row]) -> bool:
    """Cancel what came back from a batch and goes where nobody wants it any more.

    Whether there was any: the others are picked again next round.
    """
    async with ctx.ledger.reading() as tx:
        gone = await revoked_among(tx, rows)
    if gone:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await cancel_revoked(tx, await lock_payouts(tx, sorted(gone)))
    return bool(gone)


async def _drawable(tx: Tx, ctx: Context, queue: Sequence[Row]) -> dict[str, int]:
    """What the treasury holds for good above its floor and has not promised, by token."""
    tokens = list(dict.fromkeys(row["token"] for row in queue))
    refs = {t: AccountRef(AccountKind.TREASURY, ctx.name, t) for t in tokens}
    totals = await totals_of(tx, refs.values())
    return {t: available(AccountKind.TREASURY, totals[refs[t]]) - floor_of(ctx, t) for t in tokens}


def floor_of(ctx: Context, token: str) -> int:
    """Base units that payouts leave in the treasury."""
    known = ctx.ledger.catalogue.find_token(ctx.name, token)
    return 0 if known is None else known.treasury_floor


async def _set_aside(
    ctx: Context, lease: Lease, token: str, rows: list[Row], finality: Finality
) -> list[Row] | None:
    """Those who can be paid now; the others go on hold with the reason. ``None``: none of
    this token may move now, and a hold says why."""
    reasons = _refused(ctx, rows)
    left = [row for row in rows if row["id"] not in reasons]
    told = await _would_fail(ctx, lease, token, left, finality)
    if told is None:
        return None
    reasons |= told
    if reasons:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            moves = [
                PayoutMove(row, PayoutStatus.ON_HOLD, reasons[row["id"]])
                for row in await lock_payouts(tx, list(reasons))
                if row["status"] == PayoutStatus.QUEUED
            ]
            await move_payouts(tx, moves)
    return [row for row in rows if row["id"] not in reasons]


async def _would_fail(
    ctx: Context, lease: Lease, token: str, rows: Sequence[Row], finality: Finality
) -> dict[str, str] | None:
    """Reasons by id, as the chain tells them; ``None``: nothing of the token moves now."""
    if not rows:
        return {}
    known = ctx.ledger.catalogue.token(ctx.name, token)
    address = known.address
    entries = [(Address(row["address"]), int(row["amount"])) for row in rows]
    paused, listed, reasons = await asyncio.gather(
        issuer_stops(ctx, lease, known, finality.final_block),
        blacklisted(ctx, address, [account for account, _ in entries]),
        simulate(ctx, ctx.contracts.treasury, address, entries),
    )
    if paused is None:
        return None
    if paused:
        reasons = dict.fromkeys(range(len(rows)), TOKEN_PAUSED)
    else:
        reasons |= dict.fromkeys(listed, BLACKLISTED)
    return {rows[i]["id"]: reason for i, reason in reasons.items()}


def _refused(ctx: Context, rows: Sequence[Row]) -> dict[str, str]:
    """Reasons by id of what no batch may or can hold, whoever promised it."""
    ours = own_addresses(ctx)
    refused = {row["id"]: REFUSED for row in rows if row["address"] in ours}
    return refused | {row["id"]: TOO_LARGE for row in rows if row["amount"] > MAX_ENTRY_AMOUNT}


def own_addresses(ctx: Context) -> set[Address]:
    """Of the house. A gateway without the keys does not know them, and promises refunds to them:
    what the treasury pays itself is in no account, and the others cannot send it on."""
    own, keys = ctx.contracts, ctx.wallets
    return {
        own.treasury, own.collector, own.forwarder, own.factory,
        keys.treasury_signer().address,
        keys.sponsor("sweeps").address, keys.sponsor("payouts").address,
    }  # fmt: skip


async def _seal(
    ctx: Context, lease: Lease, token: str, rows: Sequence[Row], finality: Finality
) -> bool:
    """P1. Before it nothing is promised to the chain; after it id and content never change."""
    batch = await _signed_batch(ctx, lease, token, rows, finality)
    if batch is None:
        return False
    try:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            locked = {row["id"]: row for row in await lock_payouts(tx, [r["id"] for r in rows])}
            owing = {d.merchant_id for d in await open_debts(tx, ctx.name) if d.token == token}
            if any(
                locked[r["id"]]["status"] != PayoutStatus.QUEUED or r["merchant_id"] in owing
                for r in rows
            ) or await revoked_among(tx, list(locked.values())):
                return False  # canceled, held or taken back meanwhile: picked again next round
            batch_id = await seal_batch(tx, batch)
            await put_into_batch(tx, [locked[r["id"]] for r in rows], batch_id)
            await close_holds(tx, "batch", _treasury_place(ctx, token), "there is enough again")
    except (IntegrityError, InsufficientFundsError):
        # Another process took the on-chain id or the money between reading and sealing;
        # nothing of this commit remains.
        return False
    ctx.observer.batch_sealed(ctx.name, LANE, len(rows))
    return True


async def _signed_batch(
    ctx: Context, lease: Lease, token: str, rows: Sequence[Row], finality: Finality
) -> NewBatch | None:
    cursor = finality.cursor
    if cursor is None:
        return None
    treasury = ctx.contracts.treasury
    address = ctx.ledger.catalogue.token(ctx.name, token).address
    entries = [(Address(row["address"]), Amount(row["amount"])) for row in rows]
    # Both are signed for good: a batch of an epoch that is still to come would wait for it.
    final = cursor.final.number
    epoch = await ctx.disputes.agreed(
        ctx, lease, "epoch", lambda c: epoch_of(c, treasury), since=final
    )
    if epoch is None:
        return None
    async with ctx.ledger.reading() as tx:
        onchain_id = await next_onchain_id(tx, ctx.name, epoch)
    ran = await agreed(
        ctx.client, lambda c: executed_ids(c, treasury, epoch, onchain_id, 1), since=final
    )
    if ran != set():
        raise UnknownExecutionError(f"batch id {onchain_id} may be executed", where=ctx.name)
    packed = pack_batch(entries)
    digest = batch_digest(
        ctx.chain.chain_id, treasury, epoch, onchain_id, address, content_hash(packed)
    )
    signature = await ctx.wallets.treasury_signer().sign_digest(digest)
    return NewBatch(
        chain=ctx.name,
        lane=LANE,
        purpose="payout",
        token=token,
        content_hash=content_hash(packed),
        target=treasury,
        calldata=encode_pay_batch(epoch, onchain_id, address, packed, signature),
        size=len(rows),
        sealed_block=min(cursor.final.number, cursor.cursor.number),
        epoch=epoch,
        onchain_id=onchain_id,
    )


async def _covered(ctx: Context, lease: Lease, token: str, rows: Sequence[Row]) -> bool:
    """Whether the treasury has on chain what the books say; asked before any payout is judged.

    Where it has not, each payout would be refused by the token, and be on hold until a person has
    released one after the other: nothing is paid in this token until there is enough again.
    What is sealed and has not run yet, in this tick too, will take its part first.
    """
    async with ctx.ledger.reading() as tx:
        before = await not_executed(tx, ctx.name, token)
    total = sum(int(row["amount"]) for row in rows) + sum(before.values())
    least = total + floor_of(ctx, token)
    address = ctx.ledger.catalogue.token(ctx.name, token).address
    (held,) = await ctx.client.token_balances(address, [ctx.contracts.treasury])
    other = ctx.client.second() if held < least else None
    if other is not None:
        with suppress(RpcError):  # it has no opinion
            held = max(held, *await other.token_balances(address, [ctx.contracts.treasury]))
    if held < least and before:
        # Asked after the balance: what runs between the two is looked at again, not complained of.
        ran = await executed_of(ctx.client, ctx.contracts.treasury, list(before))
        paid = sum(before[one] for one in ran)
        least, total = least - paid, total - paid
    if held >= least:
        return True
    await _treasury_short(ctx, lease, shortage(token, held, total), token)
    return False


def shortage(token: str, held: int, total: int) -> str:
    """Why nothing is sealed although the books say that the money is there."""
    return f"the treasury holds {held} base units of {token} on chain, the books need {total}"


async def _treasury_short(ctx: Context, lease: Lease, reason: str, token: str) -> None:
    """Ledger and chain disagree: nothing is paid in this token until somebody has looked."""
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        await hold(tx, "batch", "treasury", _treasury_place(ctx, token), reason)
    ctx.observer.note("treasury_short", chain=ctx.name, token=token, reason=reason)


def _treasury_place(ctx: Context, token: str) -> str:
    return f"{ctx.name}/{token}/treasury"


async def take_back(ctx: Context, lease: Lease) -> None:
    """Who owes for a reversed payment is not paid before that is recovered."""
    async with ctx.ledger.reading() as tx:
        debts = await open_debts(tx, ctx.name)
    if debts:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await recover_debts(tx, ctx.name)


async def release_paused(ctx: Context, lease: Lease, finality: Finality) -> None:
    """Queue again what waited for its token's pause to end."""
    async with ctx.ledger.reading() as tx:
        tokens = await held_tokens(tx, ctx.name, TOKEN_PAUSED)
    for token in tokens:
        known = ctx.ledger.catalogue.find_token(ctx.name, token)
        if known is None:
            continue
        if await is_token_paused(ctx, lease, known, finality.final_block) is not False:
            continue
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            rows = await held_payouts(tx, ctx.name, token, TOKEN_PAUSED)
            await move_payouts(tx, [PayoutMove(row, PayoutStatus.QUEUED) for row in rows])
