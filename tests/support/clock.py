"""A clock that moves only when told to, and a generator that repeats."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts at a fixed instant; ``sleep`` moves it and yields once."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._elapsed = timedelta()

    def now(self) -> datetime:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._elapsed += timedelta(seconds=seconds)


class AheadClock:
    """The machine's clock, and as far ahead of it as a test has pushed it; waiting pushes.

    For a real node beside a daemon that has to sit out rests and patience of minutes.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._wall = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead + self._wall)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, forward or back; monotonic time does not notice."""
        self._wall += seconds


class SeededEntropy:
    """The same bytes for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, length: int) -> bytes:
        return self._random.randbytes(length)
