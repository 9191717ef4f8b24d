"""Delay and rolling reserve: what may not be paid out yet, and what a plan says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.units import Address
from ledger.runs import Destination, MerchantBalance
from ledger.terms import after_refunds
from settlement.planning import DELAYED, LARGE, RESERVED, Plan, Rules, make_plan
from settlement.terms import Income, Terms, Withheld, withheld

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TO = Address(b"\xdd" * 20)
PLACE = ("mer_1", "anvil", "USDC")


@pytest.mark.parametrize(
    ("terms", "ages", "expected"),
    [
        pytest.param(Terms(), [timedelta(0)], Withheld(), id="no_terms"),
        pytest.param(Terms(delay=DAY), [DAY - timedelta(seconds=1)], Withheld(1_000), id="young"),
        pytest.param(Terms(delay=DAY), [DAY], Withheld(), id="exactly_old_enough"),
        pytest.param(Terms(reserve_bps=1_000, reserve_for=DAY), [timedelta(0)], Withheld(0, 100),
                     id="a_tenth_stays"),
        pytest.param(Terms(reserve_bps=1, reserve_for=DAY), [timedelta(0)], Withheld(0, 1),
                     id="rounded_up"),
        pytest.param(Terms(reserve_bps=1_000, reserve_for=DAY), [DAY], Withheld(),
                     id="reserve_is_over"),
        pytest.param(Terms(DAY, 1_000, 3 * DAY), [timedelta(0), 2 * DAY, 4 * DAY],
                     Withheld(1_000, 100), id="delay_then_reserve_then_nothing"),
    ],
)  # fmt: skip
def test_withheld__counted_per_payment(
    terms: Terms, ages: list[timedelta], expected: Withheld
) -> None:
    assert withheld(terms, [Income(1_000, NOW - age) for age in ages], NOW) == expected


@pytest.mark.parametrize(
    ("amounts", "refunded", "left"),
    [
        ([(100, 1), (50, 0)], 0, [99, 50]),
        ([(100, 1), (50, 0)], 30, [69, 50]),
        ([(100, 1), (50, 0)], 120, [30]),
        ([(100, 1), (50, 0)], 150, []),
    ],
)
def test_after_refunds__oldest_first__what_is_left_net_of_its_fee(
    amounts: list[tuple[int, int]], refunded: int, left: list[int]
) -> None:
    rows = [
        {"amount": amount, "fee": fee, "confirmed_at": NOW + DAY * place}
        for place, (amount, fee) in enumerate(amounts)
    ]
    assert [net for net, _ in after_refunds(rows[::-1], refunded)] == left


def _plan(available: int, kept: Withheld, above: int | None = None) -> Plan:
    rules = Rules(
        now=NOW,
        minimums={PLACE: 10},
        refused=(),
        stopped={},
        withheld={PLACE: kept},
        approve_above={} if above is None else {PLACE[1:]: above},
    )
    destination = Destination("pd_1", "mer_1", "anvil", None, TO, "active", NOW)
    return make_plan([MerchantBalance(*PLACE, available, 0)], [destination], rules)


@pytest.mark.parametrize(
    ("available", "kept", "paid", "held"),
    [
        (1_000, Withheld(0, 100), [900], [(100, RESERVED)]),
        (1_000, Withheld(400, 60), [540], [(400, DELAYED), (60, RESERVED)]),
        (1_000, Withheld(1_000, 0), [], [(1_000, DELAYED)]),
        # A refund took most of what the reserve was for: what is left stays, and no more.
        (50, Withheld(400, 100), [], [(50, RESERVED)]),
        (120, Withheld(400, 100), [], [(20, DELAYED), (100, RESERVED)]),
    ],
)
def test_plan__withheld__rest_is_paid_and_all_of_it_is_told(
    available: int, kept: Withheld, paid: list[int], held: list[tuple[int, str]]
) -> None:
    plan = _plan(available, kept)
    assert [p.amount for p in plan.payouts] == paid
    assert [(h.amount, h.reason) for h in plan.held_back] == held
    assert sum(paid) + sum(n for n, _ in held) == available


@pytest.mark.parametrize(
    ("above", "waits"), [(None, False), (1_000, False), (999, True)], ids=["off", "at", "beyond"]
)
def test_plan__large_payout__waits_for_a_second_person(above: int | None, waits: bool) -> None:
    (payout,) = _plan(1_000, Withheld(), above).payouts
    assert (payout.waits, payout.reason) == (waits, LARGE if waits else None)
