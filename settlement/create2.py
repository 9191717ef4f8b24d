"""Sweeping deposit addresses that have no key: created and emptied in one transaction.

The third way beside authorizations (:mod:`settlement.sweeps`) and top-ups
(:mod:`settlement.fallback`). Collector, amounts, logs and books are those of the
first; what differs is what stands before the entries: the factory's own, which
create what is not there yet. Somebody else may have created it first: then
there is nothing to do, and nothing fails. Where creating costs more than an entry
may spend, it is a transaction before (:mod:`settlement.creating`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from chain.artifacts import load_artifact
from chain.client import ChainClient
from chain.deposit_factory import creation_entries, encode_creating_sweep
from chain.helper_contracts import content_hash, pack_batch
from chain.rpc.errors import RpcError
from config.catalogue import Token
from config.units import Address, Amount
from ledger.batches import NewBatch
from ledger.deposit_factories import note_factory
from ledger.holds import hold
from ledger.leases import Lease, check
from ledger.sweeps import Deposit
from settlement.apart import of_each
from settlement.clone_plan import CLONE_GAS, CloneState, clone_state, fit_clones
from settlement.context import Context
from settlement.creating import create_apart
from settlement.lanes.finality import Finality
from settlement.listed_treasury import issuer_stops
from settlement.outlook import DepositRounds
from settlement.simulation import simulate
from settlement.sweep_plan import MOST_AT_ONCE
from settlement.sweeps import LANE, chosen_deposits, commit_sweep, hold_failing
from wallets.create2 import CloneDeriver

_REASONS: Final = {
    CloneState.FOREIGN: "not an address of this deposit factory: only its key can sweep it",
    CloneState.STRANGE: "deposit address runs foreign code",
}


class FactoryCheck:
    """Opens a chain to invoices once factory and forwarder on it are the very code that
    addresses are derived for: money that arrives where they are missing cannot be collected.

    Asked until both are found, then once a process.
    """

    def __init__(self) -> None:
        self._found = False

    async def look(self, ctx: Context, lease: Lease) -> bool:
        """Whether deposits can be collected here.

        :raises RpcError: the chain does not answer; it stays as it was.
        """
        if self._found:
            return True
        parts = ctx.contracts
        codes = await ctx.client.codes([parts.factory, parts.forwarder])
        good = codes == [
            load_artifact("DepositFactory").runtime_with(parts.forwarder),
            load_artifact("Forwarder").runtime_with(parts.collector),
        ]
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await note_factory(tx, ctx.chain.chain_id, parts.factory, parts.forwarder, good=good)
        if not good:
            ctx.observer.note(
                "deposit_factory_missing", chain=ctx.name, remedy="bursar contracts deploy"
            )
        self._found = good
        return good


async def seal_create2_sweeps(
    ctx: Context, lease: Lease, finality: Finality, tokens: Sequence[Token], rounds: DepositRounds
) -> int:
    """Seal one sweep per token that has something to sweep; returns how many were made.

    :raises RpcError: about one token the chain did not answer; the others were looked after.
    """
    if finality.cursor is None:
        return 0
    block = finality.cursor.final.number
    return await of_each(ctx, tokens, lambda token: _seal_token(ctx, lease, token, rounds, block))


async def _seal_token(
    ctx: Context, lease: Lease, token: Token, rounds: DepositRounds, block: int
) -> int:
    deposits = (await chosen_deposits(ctx, token, CLONE_GAS, rounds))[:MOST_AT_ONCE]
    if not deposits or await issuer_stops(ctx, lease, token, block) is not False:
        return 0
    sealed = 0
    states = await _states(ctx, lease, deposits)
    fitting = fit_clones(deposits, states)
    reasons = await _foreseen(ctx, token, fitting, states)
    if reasons is None:
        sealed += await create_apart(ctx, lease, _fresh(fitting, states), block)
        fitting = [d for d in fitting if states[d.address] is CloneState.THERE]
        reasons = await _foreseen(ctx, token, fitting, states) or {}
    ready = await hold_failing(ctx, lease, token, fitting, reasons)
    if ready:
        sealed += await _seal(ctx, lease, token, ready, states, block)
    return sealed


async def _states(
    ctx: Context, lease: Lease, deposits: Sequence[Deposit]
) -> dict[Address, CloneState]:
    """Each address right now; what cannot be swept is held and told."""
    states = await _told_states(ctx, ctx.client, deposits)
    doubtful = [d for d in deposits if states[d.address] in _REASONS]
    other = ctx.client.second() if doubtful else None
    if other is not None:
        with suppress(RpcError):  # a hold is for good until a person looks: two have to say so
            states |= await _told_states(ctx, other, doubtful)
    stuck = {a: _REASONS[state] for a, state in states.items() if state in _REASONS}
    if stuck:
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            for address, reason in stuck.items():
                await hold(tx, "batch", "address", f"{ctx.name}/{address.hex()}", reason)
        ctx.observer.note("strange_deposit_accounts", chain=ctx.name, count=len(stuck))
    return states


async def _told_states(
    ctx: Context, client: ChainClient, deposits: Sequence[Deposit]
) -> dict[Address, CloneState]:
    deriver = CloneDeriver(ctx.contracts.factory, ctx.contracts.forwarder)
    codes = await client.codes([d.address for d in deposits])
    return {
        d.address: clone_state(code, d, deriver) for d, code in zip(deposits, codes, strict=True)
    }


def _fresh(deposits: Sequence[Deposit], states: Mapping[Address, CloneState]) -> list[int]:
    """Indexes of those that have to be created."""
    return [d.derivation_index for d in deposits if states[d.address] is CloneState.FRESH]


async def _foreseen(
    ctx: Context,
    token: Token,
    deposits: Sequence[Deposit],
    states: Mapping[Address, CloneState],
) -> dict[int, str] | None:
    """Reasons, by place, of what would fail now, creations and all.

    ``None``: the collector cannot have them created; each entry has 250,000 gas, which a
    chain where new contracts cost more than today's does not leave it with.
    """
    if not deposits:
        return {}
    creations = creation_entries(ctx.contracts.factory, _fresh(deposits, states))
    entries = [*creations, *((d.address, Amount(d.amount)) for d in deposits)]
    found = await simulate(ctx, ctx.contracts.collector, token.address, entries)
    if any(index < len(creations) for index in found):
        return None
    return {index - len(creations): reason for index, reason in found.items()}


async def _seal(
    ctx: Context,
    lease: Lease,
    token: Token,
    deposits: list[Deposit],
    states: Mapping[Address, CloneState],
    block: int,
) -> bool:
    packed = pack_batch([(d.address, Amount(d.amount)) for d in deposits])
    fresh = _fresh(deposits, states)
    batch = NewBatch(
        chain=ctx.name,
        lane=LANE,
        purpose="sweep",
        token=token.symbol,
        content_hash=content_hash(packed),
        target=ctx.contracts.collector,
        calldata=encode_creating_sweep(token.address, ctx.contracts.factory, fresh, packed),
        size=len(deposits),
        sealed_block=block,
    )
    return await commit_sweep(ctx, lease, batch, deposits)
