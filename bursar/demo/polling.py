"""Waiting for something, bounded, with a message that says what it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bursar.demo.errors import DemoError
from config.clock import Clock

T = TypeVar("T")
PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


async def until(
    clock: Clock,
    what: str,
    probe: Callable[[], T | None],
    *,
    seconds: float = PATIENCE_SECONDS,
    seen: Callable[[], object] | None = None,
) -> T:
    """The first answer of ``probe`` that is neither ``None`` nor false.

    :param what: completes "waited … s for".
    :param seen: what to show of the state when it never came.
    :raises DemoError: it did not come in time.
    """
    deadline = clock.monotonic() + seconds
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if clock.monotonic() >= deadline:
            raise too_long(what, seconds, seen)
        await clock.sleep(_POLL_SECONDS)


async def until_async(
    clock: Clock,
    what: str,
    probe: Callable[[], Awaitable[T | None]],
    *,
    seconds: float = PATIENCE_SECONDS,
    seen: Callable[[], object] | None = None,
) -> T:
    """As :func:`until`, for a probe that asks somebody."""
    deadline = clock.monotonic() + seconds
    while True:
        answer = await probe()
        if answer is not None and answer is not False:
            return answer
        if clock.monotonic() >= deadline:
            raise too_long(what, seconds, seen)
        await clock.sleep(_POLL_SECONDS)


def too_long(what: str, seconds: float, seen: Callable[[], object] | None) -> DemoError:
    """The error of a wait that was given up."""
    state = f"; last seen: {seen()}" if seen is not None else ""
    return DemoError(f"waited {seconds:.0f} s for {what}{state}", where="demo")
