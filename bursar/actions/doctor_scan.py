"""What the doctor says of a chain's scan: how far behind, how fast, and how long still."""

from __future__ import annotations

from typing import Final

from bursar.actions.finding import Finding
from chain.client import ChainClient
from config.clock import Clock
from config.errors import DatabaseError
from ledger.cursors import get_cursor
from ledger.store import Ledger
from watcher.progress import Progress

BEHIND: Final = 100
"""Blocks from which a scan counts as catching up: its speed is looked at."""
LOOK_SECONDS: Final = 2.0


async def examine_scan(ledger: Ledger, clock: Clock, client: ChainClient) -> list[Finding]:
    """Cursor and head; while it catches up, the cursor again after :data:`LOOK_SECONDS`.

    The books and the chain tell, not the daemon: it may run on another machine.

    :raises RpcError: no provider tells its head.
    """
    first = await _cursor(ledger, client)
    head = await client.block("latest")
    if first is None or head is None:
        return []
    began, cursor = Progress(clock.monotonic(), first), first
    if head.number - first >= BEHIND:
        await clock.sleep(LOOK_SECONDS)
        cursor = await _cursor(ledger, client) or first
    text = tell(began, clock.monotonic(), cursor, head.number)
    return [Finding(True, f"{client.name} scan", text)]


async def _cursor(ledger: Ledger, client: ChainClient) -> int | None:
    """``None``: nothing was read yet, or the database is not ours yet, which is told elsewhere."""
    try:
        async with ledger.reading() as tx:
            found = await get_cursor(tx, client.name)
    except DatabaseError:
        return None
    return None if found is None else found.cursor.number


def tell(began: Progress, now: float, cursor: int, head: int) -> str:
    """Where the scan stands; pure.

    :param began: the first look at the cursor.
    :param now: of the second look, monotonic seconds.
    """
    behind = max(0, head - cursor)
    text = f"block {cursor}, {behind} behind the head"
    if behind < BEHIND:
        return text
    eta = began.eta(now, cursor, head)
    if eta is None:
        return f"{text}, and not moving (is bursar run at work?)"
    return f"{text}, {began.speed(now, cursor):.0f} blocks a second: {duration(eta)} still"


def duration(seconds: float) -> str:
    """For people: the two largest units."""
    whole = max(1, round(seconds))
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if whole >= 3_600:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
