"""What providers teach about the size of a range: kept, recalled, and not unlearned by chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chain.ranges import FIRST, LARGEST, RangeSize, shrunk
from chain.rpc.errors import Timeout, TooLarge
from ledger.provider_ranges import ProviderRange
from watcher.plan import ReadBlocks, ReadRange
from watcher.sizes import CEILING_LASTS, Sizes

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WHOLE = ReadRange(1, FIRST)


def too_large(most: int | None = None) -> TooLarge:
    return TooLarge("too large", max_blocks=most)


def test_learning__limit_named__changed_once_then_kept() -> None:
    sizes = Sizes("anvil")
    with sizes.learning("a", WHOLE) as lesson:
        raise too_large(30)
    assert lesson.too_large
    (learned,) = sizes.changed(NOW)
    assert learned == ProviderRange("a", 30, 30, NOW)
    sizes.kept([learned])
    assert sizes.changed(NOW + timedelta(hours=1)) == []


def test_recall__after_a_restart__begins_where_it_was_and_never_above_the_limit() -> None:
    sizes = Sizes("anvil")
    sizes.recall([ProviderRange("a", 20, 30, NOW)], NOW + timedelta(days=1))
    assert (sizes.of("a"), sizes.of("b")) == (20, FIRST)
    for _ in range(40):
        with sizes.learning("a", ReadRange(1, sizes.of("a"))):
            pass
    assert sizes.of("a") == 30
    (learned,) = sizes.changed(NOW + timedelta(days=2))
    assert learned == ProviderRange("a", 30, 30, NOW), "the limit is as old as it was"


def test_recall__limit_of_long_ago__tried_anew_from_the_size_that_worked() -> None:
    sizes = Sizes("anvil")
    sizes.recall([ProviderRange("a", 30, 30, NOW)], NOW + CEILING_LASTS + timedelta(seconds=1))
    assert sizes.of("a") == 30
    for _ in range(4):
        with sizes.learning("a", ReadRange(1, 30)):
            pass
    assert sizes.of("a") > 30
    assert sizes.changed(NOW + timedelta(days=9))[0].ceiling == LARGEST


@pytest.mark.parametrize("late_is_good", [True, False])
def test_f07_learning__two_reads_at_once__the_late_one_does_not_undo_the_limit(
    late_is_good: bool,
) -> None:
    """Both were asked for in the old size; the first answer names a limit."""
    sizes = Sizes("anvil")
    with sizes.learning("a", WHOLE):
        with sizes.learning("a", WHOLE):
            raise too_large(10)
        if not late_is_good:
            raise Timeout("late")
    assert sizes.of("a") == 10
    assert sizes.changed(NOW)[0].ceiling == 10


def test_f07_shrunk__limit_named_above_one_that_is_known__the_lower_stands() -> None:
    assert shrunk(RangeSize(10, 10), 100, named=50) == RangeSize(10, 10)


def test_f07_learning__blocks_one_by_one__told_as_it_is() -> None:
    sizes = Sizes("anvil")
    with pytest.raises(TooLarge), sizes.learning("a", ReadBlocks(1, 5)):
        raise too_large()
    assert sizes.changed(NOW) == []
