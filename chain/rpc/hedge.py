"""When a second provider is asked before the first has answered. Pure.

A hedge after the provider's own 90th percentile costs about one more request in ten
and takes away the slowest tenth of the waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

KEPT: Final = 64
"""Latest answers that the percentile is taken of."""
ENOUGH: Final = 8
"""Fewer say nothing: :data:`AT_FIRST` holds."""
AT_FIRST: Final = 0.5
LEAST: Final = 0.05
"""Seconds; below it jitter of the machine would double every request."""
MOST: Final = 2.0
"""A provider that is always slow does not make the head wait longer than this."""
PATIENCE: Final = 3
"""Races lost in a row that are bad luck; each further one counts as a failure, for a
request that is cancelled never reaches its timeout, and a dead provider would stay first."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one provider answers one method; seconds."""

    recent: tuple[float, ...] = ()
    lost: int = 0
    """Races lost since its last answer."""


def answered(pace: Pace, seconds: float) -> Pace:
    """It answered after ``seconds``."""
    return Pace(recent=(*pace.recent, seconds)[-KEPT:])


def outrun(pace: Pace, seconds: float) -> Pace:
    """It was given up after ``seconds``, for another had answered.

    That enters the percentile as if it were an answer: a provider that has become slow
    is given more time, instead of doubling every request from now on.
    """
    return replace(pace, recent=(*pace.recent, seconds)[-KEPT:], lost=pace.lost + 1)


def suspicious(pace: Pace) -> bool:
    """Whether the last race lost counts as a failure of the provider."""
    return pace.lost > PATIENCE


def delay(pace: Pace) -> float:
    """Seconds after which a second provider is asked."""
    if len(pace.recent) < ENOUGH:
        return AT_FIRST
    ordered = sorted(pace.recent)
    return min(MOST, max(LEAST, ordered[len(ordered) * 9 // 10]))
