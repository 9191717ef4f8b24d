"""Running one thing beside others that must not fail, and ending it by a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def beside(main: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """The result of ``main``, while ``others`` run; they are cancelled when it ends.

    If one of the others fails first, ``main`` is cancelled and that failure is raised:
    a dead daemon is a better explanation than whatever times out because of it.
    """
    task = asyncio.ensure_future(main)
    helpers = [asyncio.ensure_future(other) for other in others]
    try:
        done, _ = await asyncio.wait([task, *helpers], return_when=asyncio.FIRST_COMPLETED)
        for helper in helpers:
            if helper in done:
                helper.result()
        return await task
    finally:
        for running in (task, *helpers):
            running.cancel()
        await asyncio.gather(task, *helpers, return_exceptions=True)


async def until_signal(work: Coroutine[Any, Any, T], signals: Sequence[signal.Signals]) -> T | None:
    """The result of ``work``; ``None`` if a signal cut it short.

    Only the first signal counts. Putting away is bounded, and a second Ctrl-C in the
    middle of it would leave processes behind.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            task.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return None
