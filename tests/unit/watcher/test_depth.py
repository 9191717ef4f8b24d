"""What two providers bear out together, and when one that is only behind is overruled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.chains import ChainSettings
from config.units import BlockNumber, Hash32
from ledger.cursors import BlockMark
from watcher.depth import Allowed, Sight, Withheld, allowed_by, withhold
from watcher.finality import ChainView


def mark(number: int, name: int = 0) -> BlockMark:
    return BlockMark(BlockNumber(number), Hash32(bytes([name]) * 32))


BEFORE, MARK = mark(50, 50), mark(98, 98)
DEPTH = {"confirmations": 3}


def chain(finality: object) -> ChainSettings:
    return ChainSettings.model_validate(
        {"name": "base", "chain_id": 8453, "rpc_urls": ["http://127.0.0.1:1"], "finality": finality}
    )


@pytest.mark.parametrize(
    ("head", "at_mark", "ours", "final", "otherwise"),
    [
        (mark(100, 1), MARK.hash, None, 98, False),
        (mark(99, 1), MARK.hash, None, 97, False),
        (mark(90, 1), None, mark(90, 1).hash, 88, False),
        (mark(90, 1), None, None, -1, False),
        (mark(90, 1), None, mark(90, 2).hash, -1, True),
        (mark(100, 1), mark(98, 7).hash, None, -1, True),
        (mark(300, 1), MARK.hash, None, 98, False),
    ],
)
def test_by_depth__as_far_as_the_other_ones_chain_is_ours(
    head: BlockMark, at_mark: Hash32 | None, ours: Hash32 | None, final: int, otherwise: bool
) -> None:
    sight = Sight(head, {}, at_mark)
    found = allowed_by(sight, MARK, BEFORE, ChainView(100, {}), chain(DEPTH), ours)
    assert (found.final, found.otherwise) == (final, otherwise)
    assert found.view.cursor == min(100, head.number)


@pytest.mark.parametrize(
    ("head", "tag", "otherwise"),
    [(100, 98, False), (100, 66, True), (99, 97, False), (80, 66, False), (99, 66, True)],
)
def test_by_tag__lower_than_its_being_behind_explains__says_otherwise(
    head: int, tag: int, otherwise: bool
) -> None:
    sight = Sight(mark(head, 1), {"finalized": tag}, MARK.hash if head >= 98 else None)
    ours = None if head >= 98 else sight.head.hash
    full = ChainView(100, {"finalized": 98})
    found = allowed_by(sight, MARK, BEFORE, full, chain("finalized"), ours)
    assert (found.final, found.otherwise) == (tag, otherwise)


def test_by_tag__the_other_one_has_none__left_as_it_is() -> None:
    full = ChainView(100, {"finalized": 98})
    found = allowed_by(
        Sight(mark(100), {}, MARK.hash), MARK, BEFORE, full, chain("finalized"), None
    )
    assert (found.final, found.view, found.otherwise) == (98, full, False)


FULL = Allowed(98, ChainView(100, {"safe": 99}))
SHORT = Allowed(90, ChainView(92, {"safe": 91}))
SINCE = Withheld(FULL.rank, MARK, 10.0, 10.0)


def test_withhold__begins__goes_on__is_over() -> None:
    assert withhold(None, FULL, SHORT, MARK, 10.0, otherwise=False) == SINCE
    assert withhold(SINCE, FULL, SHORT, mark(99), 20.0, otherwise=False) == SINCE
    assert withhold(SINCE, FULL, FULL, MARK, 20.0, otherwise=False) is None


def test_withhold__says_otherwise__being_behind_begins_anew_and_the_age_does_not() -> None:
    again = withhold(SINCE, FULL, SHORT, MARK, 20.0, otherwise=True)
    assert again == replace(SINCE, behind_since=20.0)


def test_withhold__borne_out_a_little_late__begins_anew() -> None:
    later = Allowed(108, ChainView(110, {"safe": 109}))
    again = withhold(SINCE, later, FULL, mark(108), 300.0, otherwise=False)
    assert again == Withheld(later.rank, mark(108), 300.0, 300.0)


def test_withhold__a_lower_safe_tag_alone__is_seen() -> None:
    lower = Allowed(98, ChainView(100, {"safe": 80}))
    assert withhold(None, FULL, lower, MARK, 10.0, otherwise=True) == SINCE
