"""Limits in the plan: exactly the limit is allowed, what waits on hold is not counted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.units import Address
from ledger.limits import DAILY_LIMIT, MERCHANT_LIMIT, PAYOUT_LIMIT, Limits, Promised
from ledger.runs import Destination, MerchantBalance
from settlement.planning import Rules, make_plan

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PLACE = ("anvil", "USDC")
LIMITS = Limits(payout={PLACE: 9}, merchant={PLACE: 10}, daily={PLACE: 15})


def reasons(limits: Limits, promised: Promised, *amounts: int) -> list[str | None]:
    """Of one payout per merchant, in order."""
    merchants = [f"mer_{number}" for number in range(len(amounts))]
    rules = Rules(
        now=NOW,
        minimums={(m, *PLACE): 1 for m in merchants},
        refused=(),
        stopped={},
        limits=limits,
        promised=promised,
    )
    to = Address(b"\xdd" * 20)
    destinations = [Destination(f"pd_{m}", m, "anvil", None, to, "active", NOW) for m in merchants]
    balances = [MerchantBalance(m, *PLACE, n, 0) for m, n in zip(merchants, amounts, strict=True)]
    return [payout.reason for payout in make_plan(balances, destinations, rules).payouts]


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ((9, 6), [None, None]),
        ((9, 7), [None, DAILY_LIMIT]),
        ((10, 9, 6), [PAYOUT_LIMIT, None, None]),  # what is on hold takes nobody's room
        ((9, 7, 6), [None, DAILY_LIMIT, None]),
    ],
)
def test_plan__limits__named_cases(amounts: tuple[int, ...], expected: list[str | None]) -> None:
    assert reasons(LIMITS, Promised(), *amounts) == expected


def test_plan__promised_before__counts_and_is_not_changed_by_planning() -> None:
    promised = Promised({("mer_0", *PLACE): 5})
    assert reasons(LIMITS, promised, 6, 5) == [MERCHANT_LIMIT, None]
    assert reasons(LIMITS, promised, 5, 5) == [None, None]
    assert reasons(LIMITS, promised, 5, 5) == [None, None], "planned twice, counted once"


def test_promised__added_to_a_merchant__counts_for_him_and_for_the_token() -> None:
    promised = Promised()
    promised.add("mer_0", PLACE, 8)
    assert promised.exceeded(LIMITS, "mer_0", PLACE, 2) is None
    assert promised.exceeded(LIMITS, "mer_0", PLACE, 3) == MERCHANT_LIMIT
    assert promised.exceeded(LIMITS, "mer_1", PLACE, 7) is None
    assert promised.exceeded(LIMITS, "mer_1", PLACE, 8) == DAILY_LIMIT
    assert promised.exceeded(LIMITS, "mer_0", ("other", "USDC"), 99) is None
