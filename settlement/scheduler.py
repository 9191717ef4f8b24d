"""The clockwork: it wakes once a second, our own tables say what is due.

A scheduler with jobs of its own would be a second truth about what is due, kept
in memory, on the machine's clock, where no simulator could reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from config.clock import Clock


async def every_second(clock: Clock, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yields about once a second, at once first, until told to stop; never twice at a time.

    Wakings that were missed because the last one took longer coalesce into one.
    """
    while not stop.is_set():
        yield
        sleeping = asyncio.ensure_future(clock.sleep(1.0))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
