"""The clockwork: APScheduler wakes, our own tables say what is due.

APScheduler's job stores refuse asyncio engines, and a job that fails inside it
is only logged. So it does nothing but wake the loop that looks into the tables;
what the loop finds, and what goes wrong with it, stays in the caller's task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler


async def every_second(stop: asyncio.Event) -> AsyncIterator[None]:
    """Yields about once a second, at once first, until told to stop; never twice at a time.

    Wakings that were missed because the last one took longer coalesce into one.
    """
    due = asyncio.Event()
    due.set()

    async def wake() -> None:
        due.set()

    scheduler = AsyncIOScheduler(jobstores={"default": MemoryJobStore()}, timezone=UTC)
    scheduler.add_job(wake, "interval", seconds=1, coalesce=True, misfire_grace_time=None)
    scheduler.start()
    stopped = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            woken = asyncio.create_task(due.wait())
            await asyncio.wait({woken, stopped}, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            if due.is_set() and not stop.is_set():
                due.clear()
                yield
    finally:
        stopped.cancel()
        # Its only job wakes nobody any more: nothing to drain.
        scheduler.shutdown(wait=False)
