"""An event loop whose time is virtual, and processes that can be killed at any await.

Ready callbacks run; when there are none, time jumps to the next timer. Nothing
reads a socket or another thread, so the order of everything follows from the
order in which it was scheduled.

A killed process is not cancelled: its callbacks are simply never run again, as
a ``kill -9`` would have it. No ``finally`` of it is executed.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio import events
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn


@dataclass(eq=False)
class Process:
    """One start of the daemon, as far as the machine knows it."""

    name: str
    number: int
    dead: bool = False
    frozen: bool = False
    stash: list[events.Handle] = field(default_factory=list)
    """What became due while it was stopped."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    at_death: list[Callable[[], None]] = field(default_factory=list)
    executor: Callable[[Callable[..., Any], tuple[Any, ...]], Any] | None = None
    """Runs what is given to a thread; may kill the process in the middle."""

    def kill(self) -> None:
        """End it between two steps; files and connections are closed as by the kernel."""
        if self.dead:
            return
        self.dead = True
        for close in self.at_death:
            close()

    def thaw(self, loop: VirtualLoop) -> None:
        """Go on as if no time had passed (SIGCONT)."""
        self.frozen = False
        loop._ready.extend(self.stash)
        self.stash.clear()

    async def die(self) -> NoReturn:
        """Called by code of the process itself: this step is its last."""
        self.kill()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a dead process went on")


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def _may_run(handle: events.Handle) -> bool:
    process = handle._context.get(PROCESS)
    if process is None:
        return True
    if process.frozen:
        process.stash.append(handle)
        return False
    return not process.dead


class _Handle(events.Handle):
    __slots__ = ()

    def _run(self) -> None:
        if _may_run(self):
            super()._run()


class _TimerHandle(events.TimerHandle):
    __slots__ = ()

    def _run(self) -> None:
        if _may_run(self):
            super()._run()


class DeadlockError(Exception):
    """Nobody waits for a time, and nobody can be woken."""


class _Jump:
    """Stands where the selector would: instead of waiting, time is moved on."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            network = self._loop.network
            if network is not None and network.look():
                return []
            if timeout is None:
                raise DeadlockError
            self._loop.jump()
        return []

    def close(self) -> None: ...


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module; ``time()`` is in seconds from 0."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9
        self.steps = 0
        self.graveyard: list[Any] = []
        self.network: Any = None
        """A :class:`tests.simulation.machine.wire.Network`, where the world has one."""
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self._now

    def jump(self) -> None:
        """To the first timer that is still wanted."""
        if self._scheduled:
            self._now = max(self._now, self._scheduled[0]._when)

    def _process_events(self, event_list: list[Any]) -> None: ...

    def _write_to_self(self) -> None: ...

    def _call_soon(self, callback: Any, args: Any, context: Any) -> events.Handle:
        self.steps += 1
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> events.TimerHandle:
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Inline: what the product gives to threads is short."""
        future = self.create_future()
        process = PROCESS.get()
        try:
            if process is not None and process.executor is not None:
                result = process.executor(func, args)
            else:
                result = func(*args)
        except Exception as error:  # noqa: BLE001 - as a thread would hand it over
            future.set_exception(error)
        else:
            if process is None or not process.dead:
                future.set_result(result)
        return future

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Any, host: str, port: int
    ) -> tuple[Any, Any]:
        """To the database; nothing else is ever connected to."""
        return self.network.connect(protocol_factory, host, port)

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None: ...

    def remove_signal_handler(self, sig: int) -> bool:
        return True

    def timers(self) -> int:
        """Timers that somebody still waits for."""
        return sum(not handle._cancelled for handle in self._scheduled)


def _make_task(loop: VirtualLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    context = options.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task


def spawn(process: Process, coro: Any) -> asyncio.Task[Any]:
    """Run ``coro`` as part of ``process``."""
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)
    return asyncio.get_running_loop().create_task(coro, context=context)
