"""From confirmed deposits to sealed sweeps: choose, look at each account, simulate, P1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from chain.client import ChainClient
from chain.helper_contracts import content_hash, encode_sweep, pack_batch
from chain.model import Authorization as CallAuthorization
from chain.rpc.errors import RpcError
from config.catalogue import Token
from config.errors import ConflictError
from config.money import least_amount
from config.units import Address, Amount
from ledger.batches import NewBatch, seal_batch
from ledger.books import totals_of
from ledger.holds import hold
from ledger.lanes import nonces_taken
from ledger.leases import Lease, check
from ledger.payouts import queued_payouts
from ledger.postings import AccountKind, AccountRef, available
from ledger.presigned import NEEDS_SIGNATURE
from ledger.store import Tx
from ledger.sweeps import Deposit, pending_sweeps, seal_items
from settlement.apart import of_each
from settlement.context import Context
from settlement.lanes.finality import Finality
from settlement.listed_treasury import issuer_stops
from settlement.outlook import DepositRounds, Outlook, look_at_deposits
from settlement.payouts import floor_of
from settlement.presigned import presigned_authorizations
from settlement.simulation import blacklisted, simulate
from settlement.sweep_plan import (
    DELEGATION_GAS,
    GAS_BUDGET,
    MOST_AT_ONCE,
    AccountState,
    account_state,
    choose,
    fit,
)
from settlement.sweep_policy import SweepGas, Waits, would_wait
from wallets.signer import Authorization

LANE = "sweeps"
_LAGGING = timedelta(seconds=60)
"""For so long after it was confirmed, money that a node does not see may be news to it."""
_MOST_QUEUED = 5_000


async def chosen_deposits(
    ctx: Context,
    token: Token,
    gas: SweepGas = DELEGATION_GAS,
    rounds: DepositRounds | None = None,
) -> list[Deposit]:
    """What to sweep of one token now.

    :param gas: of one address, the way in which it is swept.
    :param rounds: which page of very many is looked at; a new round without.
    """
    rounds = rounds or DepositRounds()
    begins, most = rounds.begins(token.symbol), rounds.most
    found = await look_at_deposits(ctx.client, ctx.ledger, ctx.settings, token, gas, begins, most)
    chosen = await _chosen(ctx, token, gas, found, rest=rounds.all_seen(token.symbol, found))
    rounds.looked(token.symbol, found, found=bool(chosen))
    return chosen


async def _chosen(
    ctx: Context, token: Token, gas: SweepGas, found: Outlook, *, rest: bool
) -> list[Deposit]:
    free = [s for s in found.seen if s.waits is not Waits.HELD]
    if not free:
        return []
    async with ctx.ledger.reading() as tx:
        needed = (await _needed(tx, ctx)).get(token.symbol, 0)
        now = tx.now
    chosen = choose(
        [s.deposit for s in free],
        needed=needed,
        minimum=least_amount(ctx.settings.sweep_minimum, token.decimals),
        gather=ctx.policy.gather,
        now=now,
        not_worth=[s.deposit.derivation_index for s in free if s.waits is not Waits.SOON],
        rest=rest,
    )
    if not chosen or needed > 0 or found.market is None:
        return chosen
    value = token.to_micros(sum(d.amount for d in chosen))
    units = min(gas.of(chosen, found.known), GAS_BUDGET)
    return [] if would_wait(value, units, ctx.chain.fee_cap, found.market) else chosen


async def _needed(tx: Tx, ctx: Context) -> dict[str, int]:
    """What queued payouts lack in the treasury and on the way to it, by token."""
    wanted: dict[str, int] = defaultdict(int)
    for row in await queued_payouts(tx, ctx.name, _MOST_QUEUED):
        wanted[row["token"]] += row["amount"]
    refs = {t: AccountRef(AccountKind.TREASURY, ctx.name, t) for t in wanted}
    totals = await totals_of(tx, refs.values())
    coming = await pending_sweeps(tx, ctx.name)
    return {
        token: amount
        + floor_of(ctx, token)
        - available(AccountKind.TREASURY, totals[refs[token]])
        - coming.get(token, 0)
        for token, amount in wanted.items()
    }


async def seal_sweeps(
    ctx: Context, lease: Lease, finality: Finality, tokens: Sequence[Token], rounds: DepositRounds
) -> int:
    """Seal one sweep per token that has something to sweep; returns how many were made.

    :raises RpcError: about one token the chain did not answer; the others were looked after.
    :raises WalletError: the same, of a signer.
    """
    if finality.cursor is None:
        return 0
    block = finality.cursor.final.number
    return await of_each(ctx, tokens, lambda token: _seal_token(ctx, lease, token, rounds, block))


async def _seal_token(
    ctx: Context, lease: Lease, token: Token, rounds: DepositRounds, block: int
) -> bool:
    deposits = (await chosen_deposits(ctx, token, rounds=rounds))[:MOST_AT_ONCE]
    if not deposits or await issuer_stops(ctx, lease, token, block) is not False:
        return False
    states = await account_states(ctx, lease, [d.address for d in deposits])
    deposits = await _signed(ctx, lease, deposits, states)
    ready = await _without_failing(ctx, lease, token, fit(deposits, states), states)
    return bool(ready) and await _seal(ctx, lease, token, ready, states, block)


async def account_states(
    ctx: Context, lease: Lease, addresses: Sequence[Address]
) -> dict[Address, AccountState]:
    """Each deposit account right now; what is strange is held and told.

    A hold is for good until a person looks: a second provider, if one answers, has to say so too.
    """
    states = await _told_states(ctx, ctx.client, addresses)
    strange = _strange(states)
    other = ctx.client.second() if strange else None
    if other is not None:
        with suppress(RpcError):
            states |= await _told_states(ctx, other, strange)
    strange = _strange(states)
    if strange:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            for address in strange:
                await hold(
                    tx,
                    "batch",
                    "address",
                    f"{ctx.name}/{address.hex()}",
                    "deposit account has sent transactions or runs foreign code",
                )
        ctx.observer.note("strange_deposit_accounts", chain=ctx.name, count=len(strange))
    return states


async def _told_states(
    ctx: Context, client: ChainClient, addresses: Sequence[Address]
) -> dict[Address, AccountState]:
    codes = await client.codes(addresses)
    nonces = await client.nonces(addresses)
    async with ctx.ledger.reading() as tx:
        taken = await nonces_taken(tx, ctx.name, addresses)
    return {
        address: account_state(
            code,
            nonce,
            ctx.contracts.forwarder,
            taken=taken.get(address, 0),
            may_be_used=ctx.policy.may_be_used,
        )
        for address, code, nonce in zip(addresses, codes, nonces, strict=True)
    }


def _strange(states: Mapping[Address, AccountState]) -> list[Address]:
    return [a for a, state in states.items() if state is AccountState.STRANGE]


async def _signed(
    ctx: Context, lease: Lease, deposits: list[Deposit], states: dict[Address, AccountState]
) -> list[Deposit]:
    """Without those whose keys are offline and that nobody signed for on this chain.

    They are held until an import brings the signature, which ends the hold.
    """
    if not ctx.policy.presigned:
        return deposits
    fresh = {d.address for d in deposits if states[d.address] is AccountState.FRESH}
    unsigned = fresh - (await presigned_authorizations(ctx, fresh)).keys()
    if unsigned:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            for address in sorted(unsigned):
                place = f"{ctx.name}/{address.hex()}"
                await hold(tx, "batch", "address", place, NEEDS_SIGNATURE)
        ctx.observer.note("deposits_need_offline_signature", chain=ctx.name, count=len(unsigned))
    return [d for d in deposits if d.address not in unsigned]


async def _authorize(
    ctx: Context, deposits: Sequence[Deposit], states: dict[Address, AccountState]
) -> list[Authorization]:
    """EIP-7702 authorizations of the accounts that do not delegate yet, bound to this chain."""
    fresh = [d for d in deposits if states[d.address] is AccountState.FRESH]
    if ctx.policy.presigned:
        stored = await presigned_authorizations(ctx, [d.address for d in fresh])
        return [stored[d.address] for d in fresh]
    nonces = [0] * len(fresh)
    async with ctx.ledger.reading() as tx:
        have_sent = await nonces_taken(tx, ctx.name, [d.address for d in fresh])
    if have_sent or ctx.policy.may_be_used:
        nonces = await ctx.client.nonces([d.address for d in fresh])
    return [
        await ctx.wallets.deposit_signer(d.derivation_index).sign_authorization(
            ctx.chain.chain_id, ctx.contracts.forwarder, nonce
        )
        for d, nonce in zip(fresh, nonces, strict=True)
    ]


async def _without_failing(
    ctx: Context,
    lease: Lease,
    token: Token,
    deposits: list[Deposit],
    states: dict[Address, AccountState],
) -> list[Deposit]:
    """Simulate; who would fail is held with the reason and left where it is."""
    if not deposits:
        return []
    authorizations = [
        CallAuthorization(
            a.chain_id,
            a.delegate,
            a.nonce,
            a.signature.y_parity,
            a.signature.r,
            a.signature.s,
        )
        for a in await _authorize(ctx, deposits, states)
    ]
    entries = [(d.address, d.amount) for d in deposits]
    reasons = await simulate(ctx, ctx.contracts.collector, token.address, entries, authorizations)
    reasons = await _believed(ctx, token, deposits, states, reasons)
    return await hold_failing(ctx, lease, token, deposits, reasons)


async def hold_failing(
    ctx: Context, lease: Lease, token: Token, deposits: list[Deposit], reasons: Mapping[int, str]
) -> list[Deposit]:
    """Hold what would fail, by place, each with its reason; the others.

    Where money that was confirmed just now is not seen yet, the node is behind: that is looked at
    again, and held only if it lasts.
    """
    behind = await _behind(ctx, token, deposits, reasons)
    final = {index: reason for index, reason in reasons.items() if index not in behind}
    if final:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            for index, reason in final.items():
                place = f"{ctx.name}/{deposits[index].address.hex()}/{token.symbol}"
                await hold(tx, "batch", "sweep", place, reason)
    return [d for index, d in enumerate(deposits) if index not in reasons]


async def _behind(
    ctx: Context, token: Token, deposits: Sequence[Deposit], reasons: Mapping[int, str]
) -> set[int]:
    """Places of those that hold less, by this node, than what was confirmed a moment ago."""
    now = ctx.clock.now()
    young = [index for index in reasons if now - deposits[index].newest < _LAGGING]
    if not young:
        return set()
    accounts = [deposits[index].address for index in young]
    balances = await ctx.client.token_balances(token.address, accounts)
    return {
        index for index, held in zip(young, balances, strict=True) if held < deposits[index].amount
    }


async def _believed(
    ctx: Context,
    token: Token,
    deposits: list[Deposit],
    states: dict[Address, AccountState],
    reasons: dict[int, str],
) -> dict[int, str]:
    """Failures of accounts that do not delegate yet count only if their balance is short.

    Nodes that ignore the authorizations of a simulated call answer as if nobody had
    signed: every fresh account "fails", for no reason that the token gives.
    """
    doubtful = [i for i in reasons if states[deposits[i].address] is AccountState.FRESH]
    if not doubtful:
        return reasons
    accounts = [deposits[i].address for i in doubtful]
    balances = await ctx.client.token_balances(token.address, accounts)
    listed = await blacklisted(ctx, token.address, accounts)
    unfounded = {
        index
        for place, (index, held) in enumerate(zip(doubtful, balances, strict=True))
        if held >= deposits[index].amount and place not in listed
    }
    return {index: reason for index, reason in reasons.items() if index not in unfounded}


async def _seal(
    ctx: Context,
    lease: Lease,
    token: Token,
    deposits: list[Deposit],
    states: dict[Address, AccountState],
    block: int,
) -> bool:
    """One sweep, with the authorizations that it needs."""
    packed = pack_batch([(d.address, Amount(d.amount)) for d in deposits])
    batch = NewBatch(
        chain=ctx.name,
        lane=LANE,
        purpose="sweep",
        token=token.symbol,
        content_hash=content_hash(packed),
        target=ctx.contracts.collector,
        calldata=encode_sweep(token.address, packed),
        size=len(deposits),
        sealed_block=block,
        authorizations=[a.as_item() for a in await _authorize(ctx, deposits, states)],
    )
    return await commit_sweep(ctx, lease, batch, deposits)


async def commit_sweep(
    ctx: Context, lease: Lease, batch: NewBatch, deposits: Sequence[Deposit]
) -> bool:
    """P1: batch, items, pending postings, payments tied to them, in one commit.

    ``False``: a payment was reversed between reading and sealing; nothing was committed.
    """
    try:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            batch_id = await seal_batch(tx, batch)
            await seal_items(tx, ctx.name, batch_id, deposits)
    except ConflictError:
        return False  # chosen again with what is left
    ctx.observer.batch_sealed(ctx.name, LANE, len(deposits))
    return True
