"""Settlement schedules: five cron fields, or ``every 10s``.

A cron schedule is read in UTC unless an IANA zone follows as a sixth field:
``"0 2 * * *"``, ``"30 17 * * 1-5 Europe/Berlin"``. Numbers of week days are
those of crontab(5), 0 and 7 both Sunday; APScheduler counts from Monday, so
they are turned into names before it sees them. As in crontab(5), too, where day
of the month and day of the week are both given (neither begins with ``*``), a
day that fits either is meant; APScheduler by itself would ask for both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from config.durations import parse_duration

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = timedelta(microseconds=1)
_SHORTEST: Final = timedelta(seconds=1)
_EXAMPLES: Final = 'five cron fields, like "0 2 * * *", or an interval, like "every 10s"'


@dataclass(frozen=True)
class Schedule:
    """When something is due; equal texts are equal schedules."""

    text: str
    every: timedelta | None
    """Set for intervals; otherwise the cron fields and the zone are."""
    cron: tuple[str, ...] = ()
    zone: str = "UTC"

    def next_after(self, moment: datetime) -> datetime | None:
        """First due time strictly after ``moment`` (aware), in UTC.

        Intervals are counted from the epoch, so that a restart does not move
        them. A wall time that daylight saving repeats is due the first time
        only; one that it leaves out is due an hour later by the clock.
        ``None``: never again (such as the 31st of February).
        """
        return _next_after(self, moment)

    def _after(self, moment: datetime) -> datetime | None:
        if self.every is not None:
            return _EPOCH + ((moment - _EPOCH) // self.every + 1) * self.every
        # The fields are matched against wall time as if it were UTC, then given their zone: left
        # to itself the trigger fires in both of the two equal hours of an autumn night.
        zone, triggers = ZoneInfo(self.zone), _triggers(self.cron)
        wall = moment.astimezone(zone).replace(tzinfo=UTC, fold=0)
        while True:
            matched = [
                found
                for trigger in triggers
                if (found := trigger.get_next_fire_time(None, wall + _INSTANT)) is not None
            ]
            if not matched:
                return None
            wall = min(matched).replace(tzinfo=UTC)
            due: datetime = wall.replace(tzinfo=zone).astimezone(UTC)
            if due > moment:
                return due


@lru_cache(maxsize=256)
def _next_after(schedule: Schedule, moment: datetime) -> datetime | None:
    """Kept: of thousands of merchants who fall due at once most have the same schedule."""
    return schedule._after(moment)


@lru_cache(maxsize=1024)
def parse_schedule(text: str) -> Schedule:
    """Validate a schedule.

    :raises ValueError: neither cron nor an interval, or an unknown time zone.
    """
    if len(text) > 200:
        raise ValueError(f"a schedule of {len(text)} characters is too long: {_EXAMPLES}")
    words = text.split()
    if len(words) == 2 and words[0] == "every":
        every = parse_duration(words[1])
        if every < _SHORTEST:
            raise ValueError(f"{text!r} is shorter than a second")
        return Schedule(text, every)
    if len(words) not in {5, 6}:
        raise ValueError(f"{text[:60]!r} is not a schedule: {_EXAMPLES}")
    zone = words[5] if len(words) == 6 else "UTC"
    _check_zone(zone)
    schedule = Schedule(text, None, tuple(words[:5]), zone)
    try:
        _triggers(schedule.cron)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a schedule: {error}; use {_EXAMPLES}") from None
    return schedule


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        # OSError: a directory of the zone database, such as "Europe".
        raise ValueError(f'{zone!r} is not a time zone, like "Europe/Berlin"') from None


@lru_cache(maxsize=1024)
def _triggers(cron: tuple[str, ...]) -> tuple[CronTrigger, ...]:
    """One of them fires when the schedule is due."""
    minute, hour, day, month, weekday = cron
    if day.startswith("*") or weekday.startswith("*"):
        return (_trigger(minute, hour, day, month, weekday),)
    return (
        _trigger(minute, hour, day, month, "*"),
        _trigger(minute, hour, "*", month, weekday),
    )


def _trigger(minute: str, hour: str, day: str, month: str, weekday: str) -> CronTrigger:
    return CronTrigger(
        minute=minute,
        hour=hour,
        day=day,
        month=month.lower(),
        day_of_week=_weekday_names(weekday.lower()),
        timezone=UTC,
    )


def _weekday_names(field: str) -> str:
    """Crontab's week-day numbers as names; steps and ranges are spelled out."""
    if not re.search(r"[0-9]", field):
        return field
    days: list[str] = []
    for item in field.split(","):
        match = re.fullmatch(r"(\*|[0-7])(?:-([0-7]))?(?:/([1-7]))?", item)
        if match is None:
            raise ValueError(f"week days {item!r} cannot be read")
        start, end, step = match.groups()
        if start == "*":
            first, last = 0, 6
        else:
            first = int(start)
            last = int(end) if end else (6 if step else first)
        if last < first:
            raise ValueError(f"week days {item!r} run backwards")
        days += [_DAYS[number] for number in range(first, last + 1, int(step or 1))]
    return ",".join(dict.fromkeys(days))
