"""Ranges read ahead: how many, which of them may be used, and what they weigh."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable

import pytest

from chain.log_page import SlimLog, SlimTopics
from chain.model import TRANSFER_TOPIC, BlockHeader
from chain.rpc.errors import Unreachable
from config.units import Address, BlockNumber
from ledger.cursors import BlockMark
from tests.support.books import digest
from tests.support.clock import ManualClock
from watcher.ahead import Ahead
from watcher.filters import LogFilter
from watcher.match import AddressSet, RowMatcher
from watcher.plan import (
    DEEPEST,
    LOGS_AHEAD,
    LOGS_PER_RANGE,
    ReadRange,
    deeper,
    fitting,
    ranges_ahead,
)
from watcher.reading import Fork, Reading

ALL = LogFilter(None)
PAID = Address(b"\xaa" * 20)
LATER = Address(b"\xbb" * 20)


@pytest.mark.parametrize(
    ("top", "final", "size", "depth", "density", "under_way", "expected"),
    [
        (10, 10, 100, 4, 1.0, [], []),
        (10, 500, 100, 4, None, [], [(11, 110)]),
        (10, 500, 100, 4, None, [(11, 110)], []),
        (10, 500, 100, 3, 1.0, [], [(11, 110), (111, 210), (211, 310)]),
        (10, 250, 100, 4, 1.0, [(11, 110)], [(111, 210), (211, 250)]),
        (10, 900, 100, 3, 1.0, [(11, 110), (111, 210), (211, 310)], []),
        (10, 900, 100, 8, LOGS_AHEAD / 250, [], [(11, 110), (111, 210)]),
        (10, 900, 100, 8, LOGS_AHEAD * 1.0, [], [(11, 110)]),
        (10, 900, 50, 3, 0.0, [(11, 110)], [(111, 160), (161, 210)]),
    ],
    ids=[
        "nothing_final", "density_unknown_one", "density_unknown_no_second", "as_deep_as_allowed",
        "up_to_final", "full", "bounded_in_logs", "one_at_least", "smaller_ranges_behind",
    ],
)  # fmt: skip
def test_ranges_ahead__table(
    top: int,
    final: int,
    size: int,
    depth: int,
    density: float | None,
    under_way: list[tuple[int, int]],
    expected: list[tuple[int, int]],
) -> None:
    found = ranges_ahead(
        top=top,
        final=final,
        range_size=size,
        depth=depth,
        logs_per_block=density,
        under_way=[ReadRange(*pair) for pair in under_way],
    )
    assert found == [ReadRange(*pair) for pair in expected]


@pytest.mark.parametrize(
    ("allowed", "density", "expected"),
    [(100, None, 100), (100, 0.0, 100), (100, 1.0, 100), (1_000, 200.0, 100), (9, 10**9, 1)],
)
def test_range_size__busy_blocks__fewer_of_them(
    allowed: int, density: float | None, expected: int
) -> None:
    assert LOGS_PER_RANGE == 20_000
    assert fitting(allowed, density) == expected


@pytest.mark.parametrize(
    ("depth", "waited", "expected"),
    [(2, 0.0, 2), (2, 0.05, 3), (DEEPEST, 0.05, DEEPEST), (3, 5.0, 2), (1, 5.0, 1)],
    ids=["no_wait", "latency_felt", "deepest", "provider_gives_no_more", "never_none"],
)
def test_depth__follows_the_wait(depth: int, waited: float, expected: int) -> None:
    assert deeper(depth, waited) == expected


# --- which of them may be used -----------------------------------------------------------


def reading(step: ReadRange, fork: str = "", to: Address = PAID, read: int = 1) -> Reading:
    headers = tuple(
        BlockHeader(
            BlockNumber(n), digest(n, fork), digest(n - 1, fork), 0, bytes(256), None, 30_000_000
        )
        for n in range(step.first, step.last + 1)
    )
    matcher = RowMatcher(AddressSet())
    matcher.keep([slim(to) for _ in range(read)])
    return Reading(headers, (), matcher, ALL)


def slim(to: Address) -> SlimLog:
    topics = SlimTopics("0x" + TRANSFER_TOPIC.hex(), "0x" + "00" * 32, "0x" + to.hex().zfill(64))
    return SlimLog(topics, "0x1")


def mark(number: int, fork: str = "") -> BlockMark:
    return BlockMark(BlockNumber(number), digest(number, fork))


class Row:
    """Ranges of ten blocks above block 10, begun in one go."""

    def __init__(self, answer: Callable[[ReadRange], Reading | Fork | None] = reading) -> None:
        self.clock = ManualClock()
        self.ahead = Ahead(self.clock)
        self.ahead._depth, self.ahead._logs_per_block = 3, 1.0
        self.asked: list[ReadRange] = []
        self.cancelled: list[ReadRange] = []
        self._answer = answer

    async def _read(self, step: ReadRange) -> Reading | Fork | None:
        self.asked.append(step)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(step)
            raise
        return self._answer(step)

    def begin(self, top: int = 10, final: int = 1_000) -> None:
        self.ahead.begin(top, ALL, self._read, provider="p", final=final, allowed=10)

    async def take(self, above: BlockMark, **changes: object) -> tuple[ReadRange, object] | None:
        given: dict[str, object] = {"provider": "p", "asked": ALL, "final": 1_000, **changes}
        return await self.ahead.take(above, **given)  # type: ignore[arg-type]


async def test_row__taken_in_order__and_filled_up_behind() -> None:
    row = Row()
    row.begin()
    for top in (10, 20, 30):
        found = await row.take(mark(top))
        assert found is not None and found[0] == ReadRange(top + 1, top + 10)
        row.begin(top + 10)
        assert len(row.ahead.steps) == 3
    assert row.asked[:3] == [ReadRange(11, 20), ReadRange(21, 30), ReadRange(31, 40)]


@pytest.mark.parametrize(
    ("above", "changes"),
    [
        (mark(11), {}),
        (mark(10, "b"), {}),
        (mark(10), {"provider": "q"}),
        (mark(10), {"asked": LogFilter((PAID,))}),
        (mark(10), {"final": 19}),
    ],
    ids=["other_height", "other_history", "other_provider", "other_filter", "no_longer_final"],
)
async def test_row__begun_with_something_else__all_thrown_away(
    above: BlockMark, changes: dict[str, object]
) -> None:
    row = Row()
    row.begin()
    assert await row.take(above, **changes) is None
    assert row.ahead.steps == ()


async def test_row__reorg_between_two_reads__the_second_is_not_used() -> None:
    """Each range is one chain by itself; the second is of another history than the first."""
    row = Row(lambda step: reading(step, "" if step.first == 11 else "b"))
    row.begin()
    first = await row.take(mark(10))
    assert first is not None and isinstance(first[1], Reading)
    top = first[1].headers[-1]
    assert await row.take(BlockMark(top.number, top.hash)) is None
    assert row.ahead.steps == ()


async def test_row__a_range_broke_off__what_follows_is_asked_for_again() -> None:
    row = Row()
    row.begin()
    await row.take(mark(10))
    row.begin(15)
    assert row.ahead.steps[0] == ReadRange(16, 25)


@pytest.mark.parametrize("paid_in", [11, 21, 31])
async def test_f11_row__address_handed_out_meanwhile__its_range_and_the_rest_are_read_again(
    paid_in: int,
) -> None:
    row = Row(lambda step: reading(step, to=LATER if step.first == paid_in else PAID))
    row.begin()
    await asyncio.sleep(0.01)  # all three have come
    row.ahead.missed([LATER])
    for top in range(10, paid_in - 1, 10):
        assert await row.take(mark(top)) is not None
    assert await row.take(mark(paid_in - 1)) is None
    assert row.ahead.steps == ()


async def test_f11_row__begun_after_the_address_was_known__not_suspected() -> None:
    row = Row(lambda step: reading(step, to=LATER))
    row.ahead.missed([LATER])
    row.begin()
    assert await row.take(mark(10)) is not None


async def test_row__provider_dies_in_the_middle__error_told_and_the_rest_given_up() -> None:
    def answer(step: ReadRange) -> Reading:
        if step.first == 21:
            raise Unreachable("gone")
        return reading(step)

    row = Row(answer)
    row.begin()
    assert await row.take(mark(10)) is not None
    with pytest.raises(Unreachable):
        await row.take(mark(20))
    assert row.ahead.steps == ()
    row.begin(20)
    assert row.ahead.steps[0] == ReadRange(21, 30)


async def test_row__too_large__told_and_the_rest_given_up() -> None:
    row = Row(lambda step: None)
    row.begin()
    found = await row.take(mark(10))
    assert found == (ReadRange(11, 20), None)
    assert row.ahead.steps == ()


async def test_row__a_fork_without_a_parent__is_not_believed() -> None:
    row = Row(lambda step: Fork(reading(step).headers[0]))
    row.begin()
    assert await row.take(mark(10)) is None


async def test_row__waiting_cancelled__nothing_is_left_running() -> None:
    row = Row()
    row.begin()
    await asyncio.sleep(0)
    waiting = asyncio.create_task(row.take(mark(10)))
    row.ahead._row[0].task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert row.ahead.steps == ()
    assert set(row.cancelled) <= set(row.asked)


# --- what they weigh ---------------------------------------------------------------------


async def test_row__busy_blocks__no_more_logs_under_way_than_allowed() -> None:
    row = Row(lambda step: reading(step, read=10 * LOGS_AHEAD // 25))
    row.begin()
    await row.take(mark(10))  # now it is known what a block holds
    row.ahead._depth = DEEPEST
    row.ahead.drop()
    row.begin(20)
    blocks = sum(step.last - step.first + 1 for step in row.ahead.steps)
    assert 0 < blocks <= 25


def test_matcher__what_it_remembers_of_a_log__is_its_recipient_alone() -> None:
    matcher, count = RowMatcher(AddressSet()), 20_000
    tracemalloc.start()
    try:
        rows = [slim(Address(i.to_bytes(20))) for i in range(count)]
        matcher.keep(rows)
        del rows
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert matcher.read == count
    assert kept < 60 * count
