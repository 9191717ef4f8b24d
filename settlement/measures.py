"""What the leader measures once a minute: agreement with the chain, and how far the gas goes."""

from __future__ import annotations

from chain.rpc.errors import RpcError
from settlement.context import Context
from settlement.costs import GAS_PER_PAYOUT
from settlement.outlook import look_at_deposits, summed
from settlement.reconcile import Reconciliation, reconcile
from settlement.sweep_policy import SweepGas


async def measure(ctx: Context, gas: SweepGas) -> Reconciliation | None:
    """Compare ledger and chain and tell the observer; acting on it is the breaker's.

    :param gas: of one address, the way in which the chain is swept.

    A provider that has no state at the pinned block fails this, and only this.
    """
    try:
        return await _measure(ctx, gas)
    except RpcError as error:
        ctx.observer.note("measuring_failed", chain=ctx.name, error=str(error))
        return None


async def _measure(ctx: Context, gas: SweepGas) -> Reconciliation | None:
    found = await reconcile(ctx.client, ctx.ledger, ctx.contracts)
    if found is not None:
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
    quote = await ctx.client.fees()
    balance = await ctx.client.balance(ctx.wallets.sponsor("payouts").address)
    price = max(quote.base_fee + quote.tip, 1)
    ctx.observer.gas_runway(ctx.name, balance // (price * GAS_PER_PAYOUT))
    await tell_unswept(ctx, gas)
    return found


async def tell_unswept(ctx: Context, gas: SweepGas) -> None:
    """What lies at deposit addresses, by token and reason, dust too."""
    for token in ctx.ledger.catalogue.payable_tokens(ctx.name):
        found = await look_at_deposits(ctx.client, ctx.ledger, ctx.settings, token, gas)
        for reason, (count, units) in summed(found).items():
            ctx.observer.unswept(ctx.name, token.symbol, reason.value, count, units)
