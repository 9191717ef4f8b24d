"""When a failed delivery is tried again; pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

GIVE_UP_AFTER: Final = timedelta(days=3)
FIRST_RETRY: Final = timedelta(seconds=2)
LONGEST_RETRY: Final = timedelta(hours=6)


def next_attempt(
    attempts: int, created_at: datetime, now: datetime, jitter: float
) -> datetime | None:
    """Time of the next attempt, or ``None`` when three days have been enough.

    :param attempts: made so far, at least 1.
    :param jitter: 0 … 1; spreads the attempts of many deliveries over a quarter of the wait.
    """
    if now - created_at >= GIVE_UP_AFTER:
        return None
    wait: timedelta = min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LONGEST_RETRY)
    # The last attempt falls on the end of the three days, not up to six hours before it.
    return min(now + wait * (0.75 + 0.25 * jitter), max(created_at + GIVE_UP_AFTER, now))
