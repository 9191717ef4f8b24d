"""When a merchant's settlement is due. Pure.

The next due time is stored with the merchant. A daemon that was down over
several due times finds one in the past, settles once, and counts on from now:
missed runs coalesce, because a run pays whatever is available.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from config.schedules import Schedule, parse_schedule


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to settle now, and when to look again; ``None``: the schedule never comes due."""

    now: bool
    next_at: datetime | None


def schedule_of(own: str | None, default: str) -> Schedule:
    """A merchant's own schedule, or the configured one where it has none or an unreadable one.

    A stored text was checked when it was stored; if a later version reads it no longer,
    paying on the configured schedule is better than never paying.
    """
    if own is not None:
        try:
            return parse_schedule(own)
        except ValueError:
            pass
    return parse_schedule(default)


def judge(schedule: Schedule, stored: datetime | None, now: datetime) -> Due:
    """Compare the stored due time with now.

    :param stored: ``None`` before the first: a new merchant waits for the next due time.
    """
    due = stored is not None and stored <= now
    return Due(due, schedule.next_after(now) if due or stored is None else stored)
