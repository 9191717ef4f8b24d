"""When a deposit is worth its gas: named cases, and what holds for every market."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.chains import FeeCap
from config.units import Address
from ledger.sweeps import Deposit
from settlement.sweep_plan import choose
from settlement.sweep_policy import Market, SweepRule, Waits, waits_for, would_wait

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GWEI = 10**9
DAY = timedelta(days=1)
USD = 10**6
MARKET = Market(gas_price=20 * GWEI, native_price=2500 * USD)
"""50,000 gas cost 0.001 coins: 2.50 USD."""


def deposit(amount: int, index: int = 1, age: timedelta = timedelta(0)) -> Deposit:
    address = Address(index.to_bytes(20))
    return Deposit(address, index, "USDC", amount, (f"pay_{index}",), NOW - age, NOW - age)


def verdict(amount: int, rule: SweepRule, market: Market = MARKET, age: int = 0) -> Waits:
    return waits_for(deposit(amount, age=age * DAY), amount, 50_000, rule, market, NOW)


@pytest.mark.parametrize(
    ("amount", "rule", "market", "expected"),
    [
        (1, SweepRule(), MARKET, Waits.SOON),
        (249_999_999, SweepRule(max_cost_bps=100), MARKET, Waits.COSTLY),
        (250_000_000, SweepRule(max_cost_bps=100), MARKET, Waits.SOON),  # exactly 1 %
        (1, SweepRule(max_cost_bps=100), replace(MARKET, native_price=None), Waits.SOON),
        (1, SweepRule(max_cost_bps=1), Market(0, 2500 * USD), Waits.SOON),
        (10**12, SweepRule(max_price=20 * GWEI - 1), MARKET, Waits.GAS),
        (10**12, SweepRule(max_price=20 * GWEI), MARKET, Waits.SOON),
        (99, SweepRule(minimum=100, max_cost_bps=1), MARKET, Waits.SMALL),
        (100, SweepRule(minimum=100), MARKET, Waits.SOON),
    ],
)
def test_waits_for__named_cases(
    amount: int, rule: SweepRule, market: Market, expected: Waits
) -> None:
    assert verdict(amount, rule, market) is expected


def test_waits_for__older_than_the_age__bounds_of_cost_fall__the_minimum_stays() -> None:
    rule = SweepRule(minimum=100, max_cost_bps=1, max_price=1, max_age=7 * DAY)
    assert verdict(100, rule, age=6) is Waits.COSTLY
    assert verdict(100, rule, age=7) is Waits.SOON
    assert verdict(99, rule, age=7) is Waits.SMALL


@given(
    amount=st.integers(1, 10**15),
    gas=st.integers(1, 10**6),
    price=st.integers(0, 10**13),
    native=st.integers(1, 10**12),
    bps=st.integers(1, 10_000),
    cheaper=st.integers(0, 10**13),
    more=st.integers(0, 10**15),
)
def test_waits_for__any_market__exactly_the_share__more_or_cheaper_never_turns_it_down(
    amount: int, gas: int, price: int, native: int, bps: int, cheaper: int, more: int
) -> None:
    rule, market = SweepRule(max_cost_bps=bps), Market(price, native)
    cost = Fraction(gas * price * native, 10**18)
    worth = waits_for(deposit(amount), amount, gas, rule, market, NOW) is Waits.SOON
    assert worth == (cost / amount <= Fraction(bps, 10_000))
    if worth:
        better = Market(min(price, cheaper), native)
        assert waits_for(deposit(amount), amount + more, gas, rule, better, NOW) is Waits.SOON


def test_would_wait__one_alone_at_the_cap__many_below_it__without_a_price_gwei_alone() -> None:
    cap = FeeCap(gwei=100, batch_bps=50)
    assert would_wait(100 * USD, 43_000, cap, MARKET)
    assert not would_wait(100 * 200 * USD, 100 * 11_000, cap, MARKET)
    assert not would_wait(1, 43_000, cap, Market(100 * GWEI))
    assert would_wait(1, 43_000, cap, Market(100 * GWEI + 1))


@given(
    amounts=st.lists(st.integers(1, 1_000), max_size=12),
    costly=st.sets(st.integers(0, 11)),
    needed=st.integers(-10, 5_000),
    waited=st.booleans(),
)
def test_choose__any_deposits__a_payout_gets_what_it_needs__nothing_else_costs_too_much(
    amounts: list[int], costly: set[int], needed: int, waited: bool
) -> None:
    age = timedelta(seconds=60 * waited)
    deposits = [deposit(a, i, age) for i, a in enumerate(amounts)]
    gather = timedelta(seconds=60)
    chosen = choose(
        deposits, needed=needed, minimum=0, gather=gather, now=NOW, not_worth=list(costly)
    )
    assert sum(d.amount for d in chosen) >= min(needed, sum(amounts))
    worth = {i for i in range(len(amounts)) if i not in costly}
    indexes = [d.derivation_index for d in chosen]
    dear = [d.amount for d in chosen if d.derivation_index in costly]
    # Not one more than the payout lacks, and the largest of them.
    assert not dear or sum(d.amount for d in chosen) - dear[-1] < needed
    assert (
        dear == sorted((amounts[i] for i in costly if i < len(amounts)), reverse=True)[: len(dear)]
    )
    if waited or needed > 0:
        assert worth <= set(indexes)
    else:
        assert indexes == []
