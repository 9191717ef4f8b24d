"""What a transaction offers per gas, at first and in replacements. Pure; all in wei per gas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.model import FeeQuote
from config.chains import FeeCap

BUMP_PERCENT: Final = 20
"""Nodes require 10 % on tip and cap both (geth's ``PriceBump``); twice that gets through."""
REQUIRED_PERCENT: Final = 10


@dataclass(frozen=True, slots=True)
class Fees:
    """``maxFeePerGas`` and ``maxPriorityFeePerGas`` (EIP-1559)."""

    max_fee: int
    max_tip: int


def cap_for(cap: FeeCap, gas_limit: int) -> int:
    """The highest ``maxFeePerGas`` that the configuration allows for this gas limit."""
    return min(cap.max_fee_per_gas, cap.batch_native // max(gas_limit, 1))


def initial(quote: FeeQuote, cap: int) -> Fees | None:
    """First offer: twice the base fee outlasts six full blocks; unused, it is not paid.

    :returns: ``None`` when even the next block's price is over the cap: wait.
    """
    if quote.base_fee + quote.tip > cap:
        return None
    return Fees(min(2 * quote.base_fee + quote.tip, cap), min(quote.tip, cap))


def replacement(old: Fees, quote: FeeQuote, cap: int) -> Fees | None:
    """The offer that replaces ``old`` on its nonce, or ``None``: resend the same bytes.

    Both parts rise by :data:`BUMP_PERCENT`, rounded up, or to the market if that is
    higher. Where the cap leaves less, at least what nodes require must fit under it.
    """
    market = Fees(2 * quote.base_fee + quote.tip, quote.tip)
    wanted = Fees(
        max(raised(old.max_fee, BUMP_PERCENT), market.max_fee),
        max(raised(old.max_tip, BUMP_PERCENT), market.max_tip),
    )
    least = Fees(raised(old.max_fee, REQUIRED_PERCENT), raised(old.max_tip, REQUIRED_PERCENT))
    capped = Fees(min(wanted.max_fee, cap), min(wanted.max_tip, cap))
    if capped.max_fee < least.max_fee or capped.max_tip < least.max_tip:
        return None
    return capped


def raised(value: int, percent: int) -> int:
    """``value`` and ``percent`` more, rounded up, so that 10 % of 1 wei is not nothing."""
    return -(-value * (100 + percent) // 100)


def outbid(offer: Fees, quote: FeeQuote) -> bool:
    """Whether the next block cannot take this offer."""
    return offer.max_fee < quote.base_fee + 1
