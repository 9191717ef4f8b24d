"""Deadlines: invoices whose time has passed are told so, money or not."""

from __future__ import annotations

import asyncio
from typing import Final

from config.clock import Clock
from config.errors import DatabaseError
from config.log import get_logger
from config.waiting import wait
from ledger.expiry import expire_due
from ledger.invoices import Tolerance
from ledger.store import Ledger

log = get_logger(__name__)

EVERY_SECONDS: Final = 1.0
AT_ONCE: Final = 500


async def expire_all(ledger: Ledger, tolerance: Tolerance) -> int:
    """Bring every invoice that is due up to date, a transaction per group; returns how many."""
    count = 0
    while True:
        async with ledger.transaction() as tx:
            due = await expire_due(tx, tolerance, AT_ONCE)
        count += due
        if due < AT_ONCE:
            return count


async def run_expiry(
    ledger: Ledger, tolerance: Tolerance, clock: Clock, stop: asyncio.Event
) -> None:
    """Until ``stop``; harmless in several processes at once."""
    while not stop.is_set():
        try:
            await expire_all(ledger, tolerance)
        except DatabaseError as error:
            log.warning("expiry_failed", error=str(error))
        await wait(clock, EVERY_SECONDS, stop)
