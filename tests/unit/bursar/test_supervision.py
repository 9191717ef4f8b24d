"""A task that dies is counted, told of, started again; a stop waits only so long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bursar.supervision import (
    CANCEL_SECONDS,
    GRACE_SECONDS,
    LONGEST_PAUSE,
    Supervisor,
    crash_guard,
    pause_after,
)
from config.errors import DatabaseError
from tests.support.clock import ManualClock, SeededEntropy


@dataclass
class Told:
    deaths: list[str] = field(default_factory=list)
    states: list[tuple[str, bool]] = field(default_factory=list)

    def on_task_died(self, task: str) -> None:
        self.deaths.append(task)

    def on_task_state(self, task: str, up: bool) -> None:
        self.states.append((task, up))


class PatientClock(ManualClock):
    """Sleeps of the grace's length never end by themselves: the test moves time."""

    async def sleep(self, seconds: float) -> None:
        if seconds == GRACE_SECONDS:
            await asyncio.Event().wait()
        await super().sleep(seconds)


def make(
    clock: ManualClock | None = None, hurry: asyncio.Event | None = None
) -> tuple[Supervisor, Told]:
    told = Told()
    supervisor = Supervisor(
        clock=clock or PatientClock(), entropy=SeededEntropy(), observer=told, hurry=hurry
    )
    return supervisor, told


@pytest.mark.parametrize(
    ("failures", "most"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (6, LONGEST_PAUSE), (99, LONGEST_PAUSE)],
)
def test_pause__after_failures__doubles_up_to_the_cap(failures: int, most: float) -> None:
    assert pause_after(failures, 1.0) == most
    assert pause_after(failures, 0.0) == 0.75 * most


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (DatabaseError("gone", where="db"), "db: gone"),
    ],
)
async def test_task__dies_twice__counted_restarted_and_told(error: Exception, reason: str) -> None:
    supervisor, told = make()
    stop = asyncio.Event()
    down: list[dict[str, str]] = []
    runs = 0

    async def work(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        down.append(supervisor.down())
        if runs <= 2:
            raise error
        stop.set()

    supervisor.add("t", work)
    await asyncio.wait_for(supervisor.run(stop), 5)
    assert runs == 3
    assert told.deaths == ["t", "t"]
    assert told.states[0] == ("t", True)
    assert ("t", False) in told.states
    assert down[0] == {}
    assert down[1] == down[2] == {"t": reason}, "just restarted is not up yet"


async def test_task__returns_without_being_asked__is_a_death() -> None:
    supervisor, told = make()
    stop = asyncio.Event()
    runs = 0

    async def work(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            stop.set()

    supervisor.add("t", work)
    await asyncio.wait_for(supervisor.run(stop), 5)
    assert told.deaths == ["t"]


async def test_task__restarted_and_running_for_its_pause__is_up_again() -> None:
    clock = PatientClock()
    supervisor, _ = make(clock)
    stop = asyncio.Event()
    runs = 0
    seen: list[dict[str, str]] = []

    async def work(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError
        seen.append(supervisor.down())
        clock.advance(1)
        seen.append(supervisor.down())
        stop.set()

    supervisor.add("t", work)
    await asyncio.wait_for(supervisor.run(stop), 5)
    assert list(seen[0]) == ["t"]
    assert seen[1] == {}


async def test_others__while_one_dies__go_on() -> None:
    supervisor, _ = make()
    stop = asyncio.Event()
    steps = 0

    async def bad(_stop: asyncio.Event) -> None:
        raise ValueError

    async def good(stop: asyncio.Event) -> None:
        nonlocal steps
        for _ in range(50):
            steps += 1
            await asyncio.sleep(0)
        stop.set()

    supervisor.add("bad", bad)
    supervisor.add("good", good)
    await asyncio.wait_for(supervisor.run(stop), 5)
    assert steps == 50


async def test_stop__task_ignores_it__cancelled_after_the_grace() -> None:
    class Quick(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0.05 if seconds == GRACE_SECONDS else 0)

    supervisor, _ = make(Quick())
    stop = asyncio.Event()
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def deaf(_stop: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    supervisor.add("deaf", deaf)
    running = asyncio.create_task(supervisor.run(stop))
    await started.wait()
    stop.set()
    await asyncio.wait_for(running, 2)
    assert cancelled.is_set()


async def test_stop__second_signal__does_not_wait_for_the_grace() -> None:
    hurry, stop = asyncio.Event(), asyncio.Event()
    supervisor, _ = make(hurry=hurry)
    started, ended = asyncio.Event(), asyncio.Event()

    async def deaf(_stop: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    supervisor.add("deaf", deaf)
    running = asyncio.create_task(supervisor.run(stop))
    await started.wait()
    stop.set()
    await asyncio.sleep(0.05)
    assert not running.done(), "the grace is not over"
    hurry.set()
    await asyncio.wait_for(running, 2)
    assert ended.is_set()


async def test_stop__task_that_finishes_what_it_does__is_waited_for() -> None:
    supervisor, told = make()
    stop = asyncio.Event()
    started = asyncio.Event()
    kept: list[str] = []

    async def careful(stop: asyncio.Event) -> None:
        started.set()
        await stop.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        kept.append("persisted")

    supervisor.add("careful", careful)
    running = asyncio.create_task(supervisor.run(stop))
    await started.wait()
    stop.set()
    await asyncio.wait_for(running, 2)
    assert kept == ["persisted"]
    assert told.deaths == []


def test_bounds__stop__fit_into_twenty_seconds() -> None:
    assert GRACE_SECONDS + CANCEL_SECONDS < 20


async def test_crash_guard__bug_in_a_handler__problem_that_says_nothing() -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise RuntimeError("secret detail")

    answer = await crash_guard(make_mocked_request("GET", "/"), handler)
    assert isinstance(answer, web.Response)
    assert answer.status == 500
    assert isinstance(answer.body, bytes)
    assert b"secret detail" not in answer.body


async def test_crash_guard__expected_http_error__passes() -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPNotFound

    with pytest.raises(web.HTTPNotFound):
        await crash_guard(make_mocked_request("GET", "/"), handler)
