"""What the leader measures once a minute: agreement with the chain, and how far the gas goes."""

from __future__ import annotations

from typing import Final

from chain.rpc.errors import RpcError
from settlement.causes import Traced
from settlement.context import Context
from settlement.costs import GAS_PER_PAYOUT
from settlement.outlook import sum_deposits
from settlement.reconcile import Reconciliation, reconcile
from settlement.sweep_policy import SweepGas
from wallets.keyring import Lane

EMPTIED: Final = 500
"""Addresses asked about each minute though they were swept: one call."""


async def measure(ctx: Context, gas: SweepGas, traced: Traced) -> Reconciliation | None:
    """Compare ledger and chain and tell the observer; acting on it is the breaker's.

    :param gas: of one address, the way in which the chain is swept.
    :param traced: what differences were traced to at the last looks.
    :returns: ``None`` where there is nothing to compare yet, or the provider has no state at
        the pinned block.
    """
    found: Reconciliation | None = None
    try:
        found = await _compare(ctx, traced)
        # What follows may fail by itself: a difference that was found must not be lost for it.
        await _tell_gas_money(ctx)
        await tell_unswept(ctx, gas)
    except RpcError as error:
        ctx.observer.note("measuring_failed", chain=ctx.name, error=str(error))
    return found


async def _compare(ctx: Context, traced: Traced) -> Reconciliation | None:
    found = await reconcile(ctx.client, ctx.ledger, ctx.contracts, emptied=EMPTIED, traced=traced)
    if found is None:
        return None
    for row in found.rows:
        ctx.observer.onchain_balance(row.account, ctx.name, row.token, row.chain)
    for token in dict.fromkeys(row.token for row in found.rows):
        ctx.observer.reconciled(ctx.name, token, found.difference(token))
    if not found.agrees:
        ctx.observer.note(
            "ledger_and_chain_differ",
            chain=ctx.name,
            block=found.block,
            causes=list(found.causes),
        )
    return found


async def _tell_gas_money(ctx: Context) -> None:
    quote = await ctx.client.fees()
    lanes: tuple[Lane, Lane] = ("sweeps", "payouts")
    for lane in lanes:
        balance = await ctx.client.balance(ctx.wallets.sponsor(lane).address)
        ctx.observer.onchain_balance(f"sponsor_{lane}", ctx.name, ctx.chain.native_symbol, balance)
    price = max(quote.base_fee + quote.tip, 1)
    ctx.observer.gas_runway(ctx.name, balance // (price * GAS_PER_PAYOUT))


async def tell_unswept(ctx: Context, gas: SweepGas) -> None:
    """What lies at deposit addresses, by token and reason, dust too."""
    for token in ctx.ledger.catalogue.payable_tokens(ctx.name):
        sums = await sum_deposits(ctx.client, ctx.ledger, ctx.settings, token, gas)
        for reason, (count, units) in sums.items():
            ctx.observer.unswept(ctx.name, token.symbol, reason.value, count, units)
