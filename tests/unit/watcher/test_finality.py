"""When money counts: depths, tags, and tiers over what is not final yet."""

from __future__ import annotations

import pytest

from config.chains import ChainSettings, Finality
from watcher.finality import (
    ChainView,
    OpenPayment,
    confirming_up_to,
    final_number,
    furthest_reach,
    mature,
    reached,
    used_tags,
)

DEPTH = Finality(confirmations=3)
TAG = Finality(tag="finalized")


def chain(**changes: object) -> ChainSettings:
    return ChainSettings.model_validate(
        {
            "name": "base",
            "chain_id": 8453,
            "rpc_urls": ["http://127.0.0.1:1"],
            "finality": {"confirmations": 3},
            **changes,
        }
    )


TIERED = chain(
    finality_tiers=[
        {"above": "1000", "finality": "safe"},
        {"above": "10000", "finality": "finalized"},
    ]
)


def payment(key: str, micros: int, block: int = 10, merchant: str = "mer_1") -> OpenPayment:
    return OpenPayment(key, merchant, micros, block)


def test_confirming__newest_block__not_yet() -> None:
    assert confirming_up_to(ChainView(10, {})) == 9


@pytest.mark.parametrize(
    ("hard", "head", "tags", "expected"),
    [
        (DEPTH, 10, {}, 8),
        (DEPTH, 1, {}, -1),
        (Finality(confirmations=1), 10, {}, 10),
        (TAG, 100, {"finalized": 36}, 36),
        (TAG, 100, {}, -1),
        (TAG, 30, {"finalized": 36}, 30),
    ],
)
def test_final_number__table(
    hard: Finality, head: int, tags: dict[str, int], expected: int
) -> None:
    assert final_number(hard, head, tags) == expected


@pytest.mark.parametrize(
    ("wanted", "block", "expected"),
    [(DEPTH, 8, True), (DEPTH, 9, False), (TAG, 6, True), (TAG, 7, False)],
)
def test_reached__edge__exact(wanted: Finality, block: int, expected: bool) -> None:
    assert reached(wanted, block, ChainView(10, {"finalized": 6})) is expected


def test_reached__stalled_tag__waits_however_deep() -> None:
    assert not reached(TAG, 1, ChainView(10**6, {}))


def test_reached__tag_ahead_of_the_cursor__only_what_was_read() -> None:
    assert not reached(TAG, 11, ChainView(10, {"finalized": 50}))


def test_mature__many_small_ones__count_together() -> None:
    """The tenth payment of 999 is not small: a merchant may lose all of them at once."""
    waiting = [payment(str(i), 999_000_000) for i in range(12)]
    view = ChainView(20, {"safe": 9, "finalized": 5})
    assert mature(waiting, {}, TIERED, view) == {"0"}
    view = ChainView(20, {"safe": 10, "finalized": 5})
    assert mature(waiting, {}, TIERED, view) == {str(i) for i in range(10)}
    view = ChainView(20, {"safe": 10, "finalized": 10})
    assert len(mature(waiting, {}, TIERED, view)) == 12


def test_mature__exposed_already__raises_the_tier() -> None:
    view = ChainView(20, {})
    assert mature([payment("a", 500_000_000)], {}, TIERED, view) == {"a"}
    assert mature([payment("a", 500_000_000)], {"mer_1": 600_000_000}, TIERED, view) == set()
    assert mature([payment("a", 500_000_000)], {"mer_2": 600_000_000}, TIERED, view) == {"a"}


def test_furthest_reach__tiers__the_least_demanding_decides() -> None:
    """Whatever its amount, nothing above it is confirmed: so nothing above it need be read."""
    view = ChainView(20, {"safe": 9, "finalized": 5})
    assert furthest_reach(TIERED, view) == 18
    assert mature([payment("a", 1, block=18)], {}, TIERED, view) == {"a"}
    assert mature([payment("a", 1, block=19)], {}, TIERED, view) == set()
    assert furthest_reach(chain(finality="safe"), ChainView(20, {})) < 0


def test_used_tags__only_those_that_are_asked_for() -> None:
    assert used_tags(chain()) == frozenset()
    assert used_tags(TIERED) == {"safe", "finalized"}
