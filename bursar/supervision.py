"""Keeping the daemon's tasks alive, and saying so when one is not.

A task that raises, or returns before it was asked to stop, is logged, counted
and started again after a pause that doubles up to :data:`LONGEST_PAUSE`. While
it is down, and until it has run for as long as it last paused, it is reported
as failing, so that a task that dies at once each time never looks healthy.

This is the only place of the product that catches whatever comes: what ends a
task is by definition not known, and a silent stop is what must not happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from config.clock import Clock, Entropy
from config.errors import BursarError
from config.log import get_logger
from config.waiting import wait
from gateway.problems import ProblemError, internal_problem, problem_response

log = get_logger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
"""A chain that comes back is followed again within this; contract: ready 20 s after a start."""
GRACE_SECONDS: Final = 12.0
"""What a task may take to persist what is in flight once asked to stop; then it is cancelled."""
CANCEL_SECONDS: Final = 3.0

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set; returns soon after."""


class TaskObserver(Protocol):
    """Where deaths are counted."""

    def on_task_died(self, task: str) -> None: ...

    def on_task_state(self, task: str, up: bool) -> None: ...


@dataclass(slots=True)
class _Record:
    work: Work
    failures: int = 0
    reason: str | None = None
    healthy_at: float = 0.0
    """Monotonic time from which a restarted task counts as up again."""
    running: bool = False


def pause_after(failures: int, jitter: float) -> float:
    """Seconds to wait after that many deaths in a row; ``jitter`` 0 … 1 spreads several daemons."""
    doubled: float = FIRST_PAUSE * 2 ** min(failures - 1, 10)
    return min(LONGEST_PAUSE, doubled) * (0.75 + 0.25 * jitter)


class Supervisor:
    """Runs named tasks until told to stop; restarts those that die."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        observer: TaskObserver,
        hurry: asyncio.Event | None = None,
    ) -> None:
        """:param hurry: set by a second signal: cancel what still runs instead of waiting."""
        self._clock = clock
        self._entropy = entropy
        self._observer = observer
        self._records: dict[str, _Record] = {}
        self._hurry = hurry or asyncio.Event()

    def add(self, name: str, work: Work) -> None:
        """Register a task before :meth:`run`."""
        assert name not in self._records, name
        self._records[name] = _Record(work)
        self._observer.on_task_state(name, True)

    def down(self) -> dict[str, str]:
        """Tasks that are not up, with the reason of their last death."""
        now = self._clock.monotonic()
        found = {}
        for name, record in self._records.items():
            recovering = not record.running or now < record.healthy_at
            if record.reason is not None and recovering:
                found[name] = record.reason
        return found

    async def run(self, stop: asyncio.Event) -> None:
        """Start every task; return once ``stop`` is set and all have ended or were cancelled.

        Never raises what a task raised, and never waits longer than
        :data:`GRACE_SECONDS` + :data:`CANCEL_SECONDS` after ``stop``.
        """
        tasks = {
            asyncio.create_task(self._keep(name, record, stop), name=name)
            for name, record in self._records.items()
        }
        await stop.wait()
        hurry = asyncio.create_task(self._hurry.wait())
        grace = asyncio.create_task(self._clock.sleep(GRACE_SECONDS))
        pending = set(tasks)
        while pending and not (hurry.done() or grace.done()):
            done, _ = await asyncio.wait(
                {*pending, hurry, grace}, return_when=asyncio.FIRST_COMPLETED
            )
            pending -= done
        for timer in (hurry, grace):
            timer.cancel()
        for task in pending:
            log.warning("task_cancelled", task=task.get_name(), hurried=self._hurry.is_set())
            task.cancel()
        if pending:
            # A task that swallows its cancellation must not hold up the exit.
            _, stuck = await asyncio.wait(pending, timeout=CANCEL_SECONDS)
            for task in stuck:
                log.error("task_stuck", task=task.get_name())

    async def _keep(self, name: str, record: _Record, stop: asyncio.Event) -> None:
        while not stop.is_set():
            started = self._clock.monotonic()
            record.running = True
            try:
                await record.work(stop)
                if stop.is_set():
                    return
                reason = "ended without being asked to"
                log.error("task_ended", task=name)
            except asyncio.CancelledError:
                raise
            except BursarError as error:
                reason = str(error)
                log.warning("task_failed", task=name, error=reason)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                log.exception("task_died", task=name)
            finally:
                record.running = False
            if self._clock.monotonic() - started > 2 * LONGEST_PAUSE:
                record.failures = 0  # it had recovered: this is a new trouble
            record.failures += 1
            record.reason = " ".join(reason.split())[:300]
            self._observer.on_task_died(name)
            self._observer.on_task_state(name, False)
            rest = pause_after(record.failures, self._entropy.token_bytes(1)[0] / 255)
            await wait(self._clock, rest, stop)
            record.healthy_at = self._clock.monotonic() + rest
            self._observer.on_task_state(name, True)


@web.middleware
async def crash_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The same promise for one HTTP request: what nobody foresaw is logged, and said plainly."""
    try:
        return await handler(request)
    except (web.HTTPException, ProblemError, ConnectionError):
        raise
    except Exception:
        log.exception("request_died", request_id=str(request.get("request_id", "")))
        return problem_response(request, internal_problem())
