"""How long a provider that does not answer is waited for, however seldom it is asked."""

from __future__ import annotations

import pytest

from watcher.patience import PATIENCE_SECONDS, Patience


def test_over__silent_for_long_enough__not_at_once() -> None:
    patience = Patience()
    assert not patience.over(100)
    assert not patience.over(100 + PATIENCE_SECONDS - 1)
    assert patience.over(100 + PATIENCE_SECONDS)
    patience.heard()
    assert not patience.over(200)


def test_over__a_failure_of_an_hour_ago__begins_anew() -> None:
    patience = Patience()
    patience.over(0)
    assert not patience.over(3_600)


@pytest.mark.parametrize(("poll", "every"), [(2.0, 33.0), (2.0, 61.0), (300.0, 310.0)])
def test_over__asked_only_now_and_then__over_all_the_same(poll: float, every: float) -> None:
    """What waits for long is asked about twice a minute, and polls may be minutes apart."""
    patience = Patience(poll)
    assert not patience.over(0)
    assert patience.over(every)
