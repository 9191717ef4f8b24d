"""Writing for people and for programs: lines, JSON, signs, progress.

Standard output holds the result alone; progress and remarks go to standard
error, so that ``--json`` can be piped as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def remark(text: str) -> None:
    """A line beside the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def say_json(value: Any) -> None:
    """The whole result as one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sign(good: bool) -> str:
    """``✓`` or ``✗`` on a terminal that can show them, ``ok`` or ``FAIL`` elsewhere."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if sys.stdout.isatty() and encoding == "utf8":
        return "✓" if good else "✗"
    return "ok  " if good else "FAIL"


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Aligned columns, two spaces apart."""
    every = [header, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


class Progress(Protocol):
    """Counts what is done."""

    def advance(self, count: int) -> None: ...


class _Lines:
    """A line for each tenth, where there is no terminal."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done, self._told = label, total, 0, 0

    def advance(self, count: int) -> None:
        self._done += count
        tenth = self._done * 10 // max(self._total, 1)
        if tenth > self._told or self._done >= self._total:
            self._told = tenth
            remark(f"{self._label}: {self._done} of {self._total}")


@contextmanager
def progress(label: str, total: int) -> Iterator[Progress]:
    """A bar on a terminal, plain lines elsewhere; on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(label, total)
        return
    from rich.console import Console  # noqa: PLC0415 - takes 40 ms that most commands do without
    from rich.progress import Progress as Bars  # noqa: PLC0415

    with Bars(console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total)
        yield _Bar(lambda count: bars.advance(task, count))


class _Bar:
    def __init__(self, step: Any) -> None:
        self._step = step

    def advance(self, count: int) -> None:
        self._step(count)


class JsonLines:
    """A JSON array on stdout, written element by element, a line each."""

    def __init__(self) -> None:
        self._lead = "["

    def add(self, value: object) -> None:
        """One more element."""
        sys.stdout.write(f"{self._lead}\n{json.dumps(value)}")
        self._lead = ","

    def end(self) -> None:
        """Close the array."""
        sys.stdout.write("[]\n" if self._lead == "[" else "\n]\n")
