"""What a transaction offers per gas, at first and in replacements. Pure; all in wei per gas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.model import FeeQuote
from config.chains import GWEI, FeeCap

BUMP_PERCENT: Final = 20
"""Nodes require 10 % on tip and cap both (geth's ``PriceBump``); twice that gets through."""
REQUIRED_PERCENT: Final = 10
BPS: Final = 10_000
COIN: Final = "coin"
"""In the place of a key: what the sender has is less than any cap allows."""
WEI: Final = 10**18


@dataclass(frozen=True, slots=True)
class Fees:
    """``maxFeePerGas`` and ``maxPriorityFeePerGas`` (EIP-1559)."""

    max_fee: int
    max_tip: int


def cap_for(cap: FeeCap, gas_limit: int, worth: int | None = None) -> int:
    """The highest ``maxFeePerGas`` that the configuration allows for this gas limit.

    :param worth: wei that the batch is worth; ``None`` where no native price is configured or
        nothing is moved: then ``batch_bps`` binds nothing.
    """
    caps = [cap.max_fee_per_gas, cap.batch_native // max(gas_limit, 1)]
    if worth is not None:
        caps.append(worth * cap.batch_bps // BPS // max(gas_limit, 1))
    return min(caps)


def worth_in_wei(micros: int, price: int | None) -> int | None:
    """What a value is worth in native coin, rounded down.

    :param micros: of a currency.
    :param price: of one native coin, micros of the same currency; ``None``: not configured.
    """
    return None if price is None else micros * WEI // price


def which_cap(cap: FeeCap, gas_limit: int, worth: int | None) -> str:
    """The key of the configuration that holds the price down, for people."""
    limit = cap_for(cap, gas_limit, worth)
    if limit == cap.max_fee_per_gas:
        return "gwei"
    return "batch_native" if limit == cap_for(cap, gas_limit) else "batch_bps"


def at_the_cap(price: int, limit: int, key: str) -> str:
    """Why something waits, with both prices in gwei."""
    if key == COIN:
        return (
            f"gas costs {as_gwei(price)} gwei, its sender can pay {as_gwei(limit)}: "
            "waits until fees fall, or the address is sent native coin"
        )
    return (
        f"gas costs {as_gwei(price)} gwei, fee_cap.{key} allows {as_gwei(limit)}: "
        "waits until fees fall, or the cap is raised"
    )


def as_gwei(wei: int) -> str:
    """Wei per gas in gwei, cut to three decimals."""
    return f"{wei // GWEI}.{wei % GWEI // 10**6:03}"


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


def stuck(offer: Fees, quote: FeeQuote, cap: int) -> bool:
    """Whether the next block cannot take this offer and the cap allows no better one."""
    return outbid(offer, quote) and replacement(offer, quote, cap) is None
