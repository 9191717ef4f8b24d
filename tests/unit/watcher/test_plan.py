"""What to read next, whether it links, and where two histories part."""

from __future__ import annotations

import pytest

from chain.model import BlockHeader
from chain.ranges import LARGEST, RangeSize, grown, shrunk
from config.units import BlockNumber, Hash32
from tests.support.books import digest
from watcher.ancestor import Ancestor, FinalityViolation, WalkOn, judge_link
from watcher.linking import link
from watcher.plan import BLOCKS_PER_PASS, Nothing, ReadBlocks, ReadRange, Step, next_step
from watcher.progress import Progress


@pytest.mark.parametrize(
    ("cursor", "head", "final", "expected"),
    [
        (10, 10, 8, Nothing()),
        (10, 7, 5, Nothing()),
        (10, 7, 12, Nothing()),
        (10, 11, 9, ReadBlocks(11, 11)),
        (10, 13, 10, ReadBlocks(11, 13)),
        (10, 13, 11, ReadRange(11, 11)),
        (10, 500, 480, ReadRange(11, 110)),
        (10, 60, 58, ReadRange(11, 58)),
        (10, 500, -1, ReadBlocks(11, 10 + BLOCKS_PER_PASS)),
        (10, 11, 90, ReadRange(11, 11)),
    ],
    ids=[
        "head_at_cursor", "head_shrank", "tag_ahead_of_a_shrunk_head", "one_new_block",
        "three_unsettled", "final_zone_first", "range_is_bounded", "range_ends_at_final",
        "no_final_block_known", "tag_ahead_of_head",
    ],
)  # fmt: skip
def test_next_step__table(cursor: int, head: int, final: int, expected: Step) -> None:
    assert next_step(cursor=cursor, head=head, final=final, range_size=100) == expected


def header(number: int, fork: str = "", parent_fork: str | None = None) -> BlockHeader:
    below = fork if parent_fork is None else parent_fork
    return BlockHeader(
        BlockNumber(number), digest(number, fork), digest(number - 1, below), 0, bytes(256), None, 0
    )


def test_link__one_chain__all_of_it() -> None:
    headers = [header(n) for n in (5, 6, 7)]
    linked = link(digest(4, ""), 4, headers)
    assert linked.headers == tuple(headers)
    assert linked.broken is None


def test_link__other_parent__broken_at_once() -> None:
    linked = link(digest(4, ""), 4, [header(5, "b", "b"), header(6, "b")])
    assert (linked.headers, linked.broken) == ((), header(5, "b", "b"))


def test_link__reorg_while_asking__first_part_kept() -> None:
    linked = link(digest(4, ""), 4, [header(5), header(6, "b")])
    assert (linked.headers, linked.broken) == ((header(5),), header(6, "b"))


def test_link__height_out_of_turn__broken() -> None:
    assert link(digest(4, ""), 3, [header(5)]).broken == header(5)


STORED = {n: digest(n, "") for n in range(3, 8)}


@pytest.mark.parametrize(
    ("number", "found", "expected"),
    [
        (7, digest(7, "b"), WalkOn()),
        (6, digest(6, ""), Ancestor(6)),
        (3, digest(3, ""), Ancestor(3)),
        (3, digest(3, "b"), FinalityViolation(3, digest(3, ""), digest(3, "b"))),
        (9, digest(9, "b"), WalkOn()),
        (2, digest(2, "b"), FinalityViolation(3, digest(3, ""), digest(2, "b"))),
    ],
    ids=["differs", "common", "common_at_final", "final_differs", "above", "below_final"],
)
def test_judge_link__table(number: int, found: Hash32, expected: object) -> None:
    assert judge_link(number, found, stored=STORED, final_number=3) == expected


def test_range__too_large__halved_and_grown_slowly() -> None:
    size = shrunk(RangeSize(), 100)
    assert size.size == 50
    for _ in range(3):
        size = grown(size, 50)
    assert size.size == 50
    assert grown(size, 50).size == 62
    assert grown(size, 10).size == 50


def test_range__limit_named__remembered_as_ceiling() -> None:
    size = shrunk(RangeSize(), 100, named=30)
    for _ in range(40):
        size = grown(size, 30)
    assert size.size == 30


def test_range__smallest_and_largest__bounded() -> None:
    assert shrunk(RangeSize(size=1), 1).size == 1
    size = RangeSize()
    for _ in range(200):
        size = grown(size, size.size)
    assert size.size == LARGEST


def test_progress__speed_and_eta() -> None:
    progress = Progress(started=100.0, first=1_000)
    assert progress.eta(100.0, 1_000, 5_000) is None
    assert progress.speed(110.0, 2_000) == 100.0
    assert progress.eta(110.0, 2_000, 5_000) == 30.0
