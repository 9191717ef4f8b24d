"""When a deposit is worth its gas: the rules that say why one waits. Pure.

A deposit waits for one of the reasons of :class:`Waits`, the first that applies. But for
a hold, none of them keeps a due payout waiting: what it needs is taken whatever
it costs (:func:`settlement.sweep_plan.choose`); the fee cap alone bounds that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from config.chains import FeeCap
from config.units import Address
from ledger.sweeps import Deposit
from settlement.batching import gas_limit
from settlement.costs import GAS_PER_BATCH
from settlement.fees import BPS, WEI, cap_for, worth_in_wei


class Waits(StrEnum):
    """Why a deposit stays at its address although nothing is wrong with it."""

    HELD = "on_hold"
    """A hold says why."""
    SMALL = "below_minimum"
    """Less than ``sweep_minimum``: dust, until more comes to the same address."""
    COSTLY = "costs_too_much"
    """Its gas would cost more than ``sweep_max_cost_bps`` of it."""
    GAS = "gas_too_high"
    """Gas costs more than the chain's ``sweep_max_gwei``."""
    SOON = "soon"
    """Worth it: waits for company, for the lane, or for the next round."""


@dataclass(frozen=True, slots=True)
class SweepGas:
    """Gas of one address in a sweep: the first time (it delegates, or is created), and later."""

    first: int
    repeat: int

    def of(self, deposits: Iterable[Deposit], known: Collection[Address]) -> int:
        """Of these together.

        :param known: addresses that were swept before.
        """
        return sum(self.repeat if d.address in known else self.first for d in deposits)


@dataclass(frozen=True, slots=True)
class SweepRule:
    """What the configuration asks of a deposit that no payout needs.

    :param minimum: base units.
    :param max_cost_bps: of the deposit's value; 0: no bound.
    :param max_price: wei per gas; ``None``: no bound.
    :param max_age: beyond it the two bounds of cost do not count; 0: they always do.
    """

    minimum: int = 0
    max_cost_bps: int = 0
    max_price: int | None = None
    max_age: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Market:
    """What gas costs.

    :param gas_price: wei per gas that the next block takes, tip included.
    :param native_price: micros of the token's currency that one native coin is worth;
        ``None``: not configured, so that costs cannot be compared with values.
    """

    gas_price: int
    native_price: int | None = None


FREE: Final = Market(0)
"""Where no rule asks for the price."""


def waits_for(
    deposit: Deposit, value: int, gas: int, rule: SweepRule, market: Market, now: datetime
) -> Waits:
    """Why a deposit waits; :attr:`Waits.SOON`: it is worth its gas now.

    :param value: of the deposit, micros of its currency, rounded down.
    :param gas: that its entry takes.
    """
    if deposit.amount < rule.minimum:
        return Waits.SMALL
    if rule.max_age and now - deposit.since >= rule.max_age:
        return Waits.SOON
    if _costly(value, gas, rule, market):
        return Waits.COSTLY
    if rule.max_price is not None and market.gas_price > rule.max_price:
        return Waits.GAS
    return Waits.SOON


def _costly(value: int, gas: int, rule: SweepRule, market: Market) -> bool:
    if not rule.max_cost_bps or market.native_price is None:
        return False
    # Multiplied out, so that nothing is rounded: cost / value > bps / 10,000.
    cost = gas * market.gas_price * market.native_price
    return cost * BPS > value * rule.max_cost_bps * WEI


def would_wait(value: int, gas: int, cap: FeeCap, market: Market) -> bool:
    """Whether a sweep would be sealed only to wait at the fee cap, its lane with it.

    A deposit alone is worth little beside a transaction's gas limit; with others it is not.

    :param value: of the sweep, micros of its currency.
    :param gas: of its entries.
    """
    limit = gas_limit(gas + GAS_PER_BATCH, may_fail=True)
    worth = worth_in_wei(value, market.native_price)
    return market.gas_price > cap_for(cap, limit, worth)
