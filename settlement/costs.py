"""What a plan would cost in gas, before anything is signed. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from chain.model import FeeQuote
from settlement.batching import most_entries
from settlement.planning import Plan

GAS_PER_PAYOUT = 28_325
"""Recipient without any of the token, batch of 100, measured with USDC."""
GAS_PER_BATCH = 60_000
"""Intrinsic cost, signature, bitmap word, event."""


@dataclass(frozen=True, slots=True)
class ChainCost:
    """Of all payouts of a plan on one chain; wei at the quoted price."""

    chain: str
    payouts: int
    batches: int
    gas: int
    wei: int
    wei_per_payout: int


def estimate_costs(
    plan: Plan, quotes: dict[str, FeeQuote], max_batch: int
) -> tuple[ChainCost, ...]:
    """Cost per chain; chains without a quote are priced at zero wei."""
    groups = Counter((p.chain, p.token) for p in plan.payouts if p.reason is None)
    most = most_entries(max_batch)
    costs = []
    for chain in sorted({chain for chain, _ in groups}):
        counts = [count for (of, _), count in groups.items() if of == chain]
        batches = sum(-(-count // most) for count in counts)
        total = sum(counts)
        gas = total * GAS_PER_PAYOUT + batches * GAS_PER_BATCH
        quote = quotes.get(chain, FeeQuote(0, 0))
        wei = gas * (quote.base_fee + quote.tip)
        costs.append(ChainCost(chain, total, batches, gas, wei, -(-wei // total)))
    return tuple(costs)
