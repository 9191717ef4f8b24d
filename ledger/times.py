"""Instants as text: RFC 3339, UTC, microseconds; the same in the API, in events and on SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1024)
def utc_time(text: str) -> datetime:
    """The instant that :func:`utc_text` spelled; rows of one commit share theirs."""
    return datetime.fromisoformat(text)


@lru_cache(maxsize=1024)
def utc_text(value: datetime) -> str:
    """``2026-01-01T00:00:00.000000Z``: of fixed width, so that it sorts as time does.

    :raises TypeError: no time zone.
    """
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise TypeError("a naive datetime has no place in the books")
        value = value.astimezone(UTC)
    # A third of the time that strftime() takes.
    return value.isoformat(timespec="microseconds")[:26] + "Z"
