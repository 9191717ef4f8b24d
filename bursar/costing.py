"""What a plan would cost at the prices of now."""

from __future__ import annotations

from collections.abc import Mapping

from chain.client import ChainClient
from chain.model import FeeQuote
from chain.rpc.errors import RpcError
from settlement.costs import ChainCost, estimate_costs
from settlement.planning import Plan


async def cost_of(
    plan: Plan, chains: Mapping[str, ChainClient], max_batch: int
) -> tuple[ChainCost, ...]:
    """Per chain; one that does not answer, or is not this process's, has gas but no price."""
    quotes: dict[str, FeeQuote] = {}
    for name in sorted({payout.chain for payout in plan.payouts if payout.reason is None}):
        if name not in chains:
            continue
        try:
            quotes[name] = await chains[name].fees()
        except RpcError:
            continue
    return estimate_costs(plan, quotes, max_batch)
