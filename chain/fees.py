"""From fee history to a quote. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.model import FeeQuote

HISTORY_BLOCKS: Final = 10
PERCENTILE: Final = 50
LEAST_TIP: Final = 1_000_000
"""Wei per gas (0.001 gwei): a tip of zero is not propagated by every node."""


def quote(
    base_fees: Sequence[int],
    rewards: Sequence[int],
    fullness: Sequence[float],
    *,
    least_tip: int = LEAST_TIP,
) -> FeeQuote:
    """Base fee of the next block and a tip that recent blocks took.

    :param base_fees: of the blocks asked for and, last, of the next one (EIP-1559
        fixes it from its parent), wei.
    :param rewards: one per block: the tip at :data:`PERCENTILE` of its gas, wei.
    :param fullness: ``gasUsedRatio`` per block; an empty block's reward is 0 by
        definition of the method and says nothing about the market.
    """
    filled = sorted(
        reward for reward, used in zip(rewards, fullness, strict=False) if used > 0 and reward > 0
    )
    tip = filled[len(filled) // 2] if filled else 0
    return FeeQuote(base_fee=base_fees[-1] if base_fees else 0, tip=max(least_tip, tip))


def from_gas_price(gas_price: int, *, least_tip: int = LEAST_TIP) -> FeeQuote:
    """For chains without fee history: all of the price is tip, there is no base fee."""
    return FeeQuote(base_fee=0, tip=max(least_tip, gas_price))
