"""Ten thousand deposits swept at once: the daemon as a process, Anvil with 1 s blocks, SQLite."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.books import sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure
from benchmarks.paying import Course, daemon, watched
from benchmarks.paying_books import CHAIN
from ledger.pauses import scope_of
from ledger.schema import pauses, sweep_items

_PATIENCE = 600.0
_PAUSED = scope_of("sweeps", CHAIN)


def measure(context: Context) -> list[Figure]:
    """One confirmed payment at each of so many addresses; sweeps go on in one moment."""
    count = context.sizes.payouts
    course = asyncio.run(_course(context, count))
    # A batch that is not full waits for company first, up to a minute: not counted.
    swept = course.reached(course.paid, count) - course.submitted[0][0]
    details = {
        "transactions": course.transactions,
        "first_sealed_seconds": course.submitted[0][0],
        "idle_mib": course.idle_mib,
    }
    return [
        Figure(f"{count:,} deposits: first sealed to all swept and final", swept, "s", "", None,
               None, None, details),
        Figure("deposits swept", count / swept, "deposits/s", "", None, None, None, details),
        Figure(f"{count:,} deposits: memory of the daemon above idle",
               course.peak_mib - course.idle_mib, "MiB", "", None, None, None, details),
    ]  # fmt: skip


async def _course(context: Context, count: int) -> Course:
    async def go(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await conn.execute(pauses.delete().where(pauses.c.scope == _PAUSED))

    url = sqlite_url(context.folder / "b.db")
    async with daemon(context, context.folder, url, count, swept=False) as (world, engine):
        context.tell("sweeps go on")
        begun = ("sealed", "submitted", "executed", "final")
        return await watched(world, engine, count, go, sweep_items, "swept", begun, _PATIENCE)
