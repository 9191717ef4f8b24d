"""A clock under which many tasks can wait at once; time moves from one due timer to the next."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

_TURNS = 50
"""Of the event loop after each step: more than any chain of wake-ups in the tests needs."""


class SteppedClock:
    """``sleep`` really waits, until :meth:`advance` passes its time."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self.time + seconds, next(self._order), future))
        await future

    async def settle(self) -> None:
        """Let everything run that needs no time."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, waking each sleeper at its own time."""
        end = self.time + seconds
        await self.settle()
        while self._timers and self._timers[0][0] <= end + 1e-9:
            due, _, future = heapq.heappop(self._timers)
            self.time = max(self.time, due)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self.time = end
