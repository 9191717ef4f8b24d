"""A token bucket that has no rate until a provider says "too fast", then learns one.

Pure: each step takes the bucket and the time and returns a new bucket.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

BACK_OFF: Final = 0.7
"""On 429 the rate becomes this share of what was being sent."""
GROWTH: Final = 1.05
"""Per success, so that a limit that was raised is found again."""
SLOWEST: Final = 2.0
"""Calls a second that are always tried: a daily quota must not look like a slow rate."""
LONGEST_DEBT: Final = 10.0
"""Seconds that one heavy batch can make the next caller wait."""
UNLIMITED_AT: Final = 1000.0
LONGEST_PAUSE: Final = 300.0
_WINDOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """``rate`` in calls a second, ``None`` for no limit; times are monotonic seconds."""

    rate: float | None = None
    tokens: float = 0.0
    filled_at: float = 0.0
    blocked_until: float = 0.0
    strikes: int = 0
    window_start: float = 0.0
    window_count: int = 0
    last_rate: float = 0.0
    """Calls a second sent in the last whole window."""


def reserve(throttle: Throttle, now: float, weight: int = 1) -> tuple[Throttle, float]:
    """Take ``weight`` calls' worth; seconds to wait before sending.

    Tokens may go below zero: who comes later waits longer, in the order of asking.
    """
    throttle = _count(throttle, now, weight)
    pause = max(0.0, throttle.blocked_until - now)
    if throttle.rate is None:
        return throttle, pause
    burst = max(1.0, throttle.rate)
    tokens = min(burst, throttle.tokens + (now - throttle.filled_at) * throttle.rate)
    wait = max(0.0, (min(weight, burst) - tokens) / throttle.rate)
    left = max(tokens - weight, -LONGEST_DEBT * throttle.rate)
    return replace(throttle, tokens=left, filled_at=now), max(pause, wait)


def limited(
    throttle: Throttle, now: float, retry_after: float | None, jitter: float
) -> tuple[Throttle, float]:
    """The provider said "too fast"; returns the pause in seconds as well.

    :param retry_after: seconds, where the provider named them.
    :param jitter: 0 … 1, spreads several daemons that were stopped together.
    """
    strikes = throttle.strikes + 1
    pause = retry_after if retry_after is not None else min(30.0, 0.25 * 2**strikes)
    pause = min(LONGEST_PAUSE, pause * (1.0 + 0.25 * jitter))
    # Requests in flight together all come back as 429; they are one lesson, not many.
    if now < throttle.blocked_until:
        until = max(throttle.blocked_until, now + pause)
        return replace(throttle, blocked_until=until), until - now
    sent = max(throttle.last_rate, float(throttle.window_count))
    known = throttle.rate if throttle.rate is not None else sent
    rate = max(SLOWEST, min(known, sent or known) * BACK_OFF)
    changed = replace(
        throttle, rate=rate, tokens=0.0, filled_at=now, blocked_until=now + pause, strikes=strikes
    )
    return changed, pause


def accepted(throttle: Throttle) -> Throttle:
    """An answer came: grow slowly; forget the limit when it no longer binds."""
    if throttle.rate is None and throttle.strikes == 0:
        return throttle
    rate = throttle.rate * GROWTH if throttle.rate is not None else None
    if rate is not None and rate >= UNLIMITED_AT:
        rate = None
    return replace(throttle, rate=rate, strikes=0)


def _count(throttle: Throttle, now: float, weight: int) -> Throttle:
    elapsed = now - throttle.window_start
    if elapsed < _WINDOW:
        return replace(throttle, window_count=throttle.window_count + weight)
    last = throttle.window_count / elapsed if elapsed < 2 * _WINDOW else 0.0
    return replace(throttle, window_start=now, window_count=weight, last_rate=last)
