"""What counts as an unusual outflow."""

from __future__ import annotations

import pytest

from settlement.outflow import most_usual


@pytest.mark.parametrize(
    ("factor", "floor", "before", "days", "most"),
    [
        pytest.param(10, 100, 14_000, 14, 10_000, id="ten_times_the_mean"),
        pytest.param(10, 100, 15, 14, 100, id="never_less_than_the_floor"),
        pytest.param(3, 0, 8, 7, 3, id="rounded_down"),
        pytest.param(10, 100, 6_000, 6, None, id="less_than_a_week_of_history"),
        pytest.param(10, 100, 0, 0, None, id="no_history"),
        pytest.param(0, 100, 14_000, 14, None, id="switched_off"),
        pytest.param(10, 0, 0, 7, 0, id="a_week_in_which_nothing_left"),
    ],
)
def test_most_usual__named_cases(
    factor: int, floor: int, before: int, days: int, most: int | None
) -> None:
    assert most_usual(factor=factor, floor=floor, before=before, days=days) == most
