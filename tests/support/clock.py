"""A clock that moves only when told to, and a generator that repeats."""

from __future__ import annotations

import asyncio
import random
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


class SeededEntropy:
    """The same bytes for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, length: int) -> bytes:
        return self._random.randbytes(length)
