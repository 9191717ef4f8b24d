"""Time and randomness as the daemon gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import ceil

EPOCH = datetime(2026, 3, 28, 20, 0, 0, tzinfo=UTC)
"""Just before the clocks of Europe go forward, a Saturday evening."""


class SimClock:
    """One process' clock.

    :param slack: granularity of its timers in seconds, as of now: like an operating system that
        coalesces timers. A quiet world makes it coarse, so that idle time costs nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, slack: Callable[[float], float]) -> None:
        self._loop = loop
        self._slack = slack
        self.skew = timedelta()
        self._sleepers: dict[asyncio.Future[None], float] = {}

    def now(self) -> datetime:
        return EPOCH + timedelta(microseconds=round(self._loop.time() * 1e6)) + self.skew

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due, slack = self._loop.time() + seconds, self._slack(seconds)
        late = ceil(due / slack - 1e-9) * slack if slack > 0 else due
        future = self._loop.create_future()
        handle = self._loop.call_at(late, _wake, future)
        self._sleepers[future] = due
        try:
            await future
        finally:
            handle.cancel()
            del self._sleepers[future]

    def stir(self) -> None:
        """Something has happened: who should be awake by now is woken."""
        now = self._loop.time()
        for future, due in list(self._sleepers.items()):
            if due <= now:
                _wake(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SimEntropy:
    """The same bytes for the same seed and process, in the order of asking."""

    def __init__(self, seed: int, process: str) -> None:
        self._key = f"{seed}|{process}".encode()
        self._count = 0

    def token_bytes(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            self._count += 1
            found += blake2b(self._key + self._count.to_bytes(8), digest_size=32).digest()
        return found[:length]
