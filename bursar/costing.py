"""What a plan would cost at the prices of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bursar.recent import Recent
from chain.client import ChainClient
from chain.model import FeeQuote
from chain.rpc.errors import RpcError
from config.clock import Clock
from settlement.costs import ChainCost, estimate_costs
from settlement.planning import Plan

QUOTE_SECONDS: Final = 10.0
"""How long a price of gas is good enough to show: providers bill each question."""


class Quotes:
    """What gas costs on each chain, asked once in :data:`QUOTE_SECONDS` whoever wants to know."""

    def __init__(self, chains: Mapping[str, ChainClient], clock: Clock) -> None:
        self._chains = chains
        self._recent = Recent(self._ask, clock, seconds=QUOTE_SECONDS)

    async def get(self, chain: str) -> FeeQuote | None:
        """``None``: it does not answer, or is not this process's."""
        return await self._recent.get(chain) if chain in self._chains else None

    async def _ask(self, chain: str) -> FeeQuote | None:
        try:
            return await self._chains[chain].fees()
        except RpcError:
            return None


async def cost_of(plan: Plan, quotes: Quotes, max_batch: int) -> tuple[ChainCost, ...]:
    """Per chain; one without a quote has gas but no price."""
    names = sorted({payout.chain for payout in plan.payouts if payout.reason is None})
    asked = [(name, await quotes.get(name)) for name in names]
    found = {name: quote for name, quote in asked if quote is not None}
    return estimate_costs(plan, found, max_batch)
