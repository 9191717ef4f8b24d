"""Durations as people write them: ``"500ms"``, ``"10s"``, ``"30m"``, ``"24h"``, ``"1d"``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_GRAMMAR: Final = re.compile(r"(0|[1-9][0-9]{0,8})(ms|s|m|h|d)", re.ASCII)
MAX_DURATION: Final = timedelta(days=3650)
"""Longer is a typing error, and would overflow dates when added to *now*."""


def parse_duration(text: str) -> timedelta:
    """Text to a duration, zero included.

    :raises ValueError: outside the grammar, or longer than :data:`MAX_DURATION`.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text[:40]!r} is not a duration: a whole number and a unit, "
            'like "500ms", "10s", "30m", "24h" or "1d"'
        )
    duration = int(match.group(1)) * _UNITS[match.group(2)]
    if duration > MAX_DURATION:
        raise ValueError(f"{text!r} is longer than ten years")
    return duration


def format_duration(duration: timedelta) -> str:
    """The shortest text that :func:`parse_duration` turns into the same duration.

    Anything below a millisecond is dropped.
    """
    milliseconds = duration // _UNITS["ms"]
    if milliseconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(milliseconds, _UNITS[unit] // _UNITS["ms"])
        if rest == 0:
            return f"{count}{unit}"
    return f"{milliseconds}ms"
