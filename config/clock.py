"""Time and randomness as things that come in from outside.

Everything that waits, stamps or draws takes these as parameters, so that a
simulator can put a virtual clock and a seeded generator in their places.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now(self) -> datetime:
        """Current time, aware, UTC, microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Entropy(Protocol):
    """Source of random bytes (ids, secrets, jitter)."""

    def token_bytes(self, length: int) -> bytes: ...


class SystemEntropy:
    """The operating system's generator."""

    def token_bytes(self, length: int) -> bytes:
        return secrets.token_bytes(length)
