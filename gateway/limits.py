"""How much is taken in at once: token buckets per key, and a bound on what runs."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import Final

from config.models import RateLimit

MAX_KEYS: Final = 10_000
"""Buckets kept; the least recently used goes first, and would be full again by then."""


class TokenBuckets:
    """A bucket per key: ``burst`` at once, then ``requests_per_second``."""

    def __init__(self, limit: RateLimit) -> None:
        self._rate = limit.requests_per_second
        self._burst = limit.burst
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, key: bytes, now: float) -> int:
        """0 when the request may pass; otherwise whole seconds to wait.

        :param now: monotonic seconds.
        """
        tokens, since = self._buckets.pop(key, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + max(now - since, 0.0) * self._rate)
        passes = tokens >= 1
        self._buckets[key] = (tokens - 1 if passes else tokens, now)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        return 0 if passes else max(1, math.ceil((1 - tokens) / self._rate))


class Gauge:
    """Counts what is under way, up to a bound."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0

    def enter(self) -> bool:
        """Whether there was room; the caller leaves what it entered."""
        if self.count >= self.limit:
            return False
        self.count += 1
        return True

    def leave(self) -> None:
        """Make room."""
        assert self.count > 0
        self.count -= 1


class Shares:
    """Counts what each of many has under way, up to the same bound for each."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Under way, of all of them together."""
        return self._counts.total()

    def enter(self, whose: str) -> bool:
        """Whether there was room; the caller leaves what it entered."""
        if self._counts[whose] >= self.limit:
            return False
        self._counts[whose] += 1
        return True

    def leave(self, whose: str) -> None:
        """Make room."""
        assert self._counts[whose] > 0
        self._counts[whose] -= 1
        if not self._counts[whose]:
            del self._counts[whose]
