"""What the door forgets: answers kept for idempotency keys that nobody will repeat."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from config.clock import Clock
from config.errors import DatabaseError
from config.log import get_logger
from config.waiting import wait
from ledger.idempotency import forget
from ledger.store import Ledger

log = get_logger(__name__)

KEPT_FOR: Final = timedelta(days=7)
"""Long enough for a client that retries over a weekend; ``docs/api.md`` promises it."""
EVERY_SECONDS: Final = 600.0


async def run_housekeeping(ledger: Ledger, clock: Clock, stop: asyncio.Event) -> None:
    """Until ``stop``; harmless in several processes at once."""
    while not stop.is_set():
        try:
            await forget_old_keys(ledger)
        except DatabaseError as error:
            log.warning("housekeeping_failed", error=str(error))
        await wait(clock, EVERY_SECONDS, stop)


async def forget_old_keys(ledger: Ledger) -> int:
    """Drop answers older than :data:`KEPT_FOR`; returns how many."""
    count = 0
    while True:
        async with ledger.transaction() as tx:
            gone = await forget(tx, tx.now - KEPT_FOR)
        count += gone
        if not gone:
            return count
