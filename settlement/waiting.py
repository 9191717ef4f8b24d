"""Waiting for a run from another process or task, and knowing whether a daemon settles."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from config.clock import Clock
from ledger.runs import get_run, run_payouts
from ledger.schema import leases
from ledger.store import Ledger, Tx
from settlement.service import lease_name

_POLL_SECONDS: Final = 0.5


async def is_led(tx: Tx, chains: Collection[str]) -> bool:
    """Whether a process holds the settlement lease of any of these chains now."""
    query = sa.select(leases.c.name).where(
        leases.c.name.in_([lease_name(chain) for chain in chains]), leases.c.expires_at > tx.now
    )
    return (await tx.conn.execute(query)).first() is not None


async def wait_for_run(
    ledger: Ledger, run_id: str, clock: Clock, patience: timedelta
) -> list[dict[str, Any]] | None:
    """The run's payouts (rows) once none of them is on its way; ``None`` when time is up."""
    deadline = clock.monotonic() + patience.total_seconds()
    while True:
        async with ledger.reading() as tx:
            run = await get_run(tx, run_id)
            if run is not None and run["status"] == "done":
                return [dict(row) for row in await run_payouts(tx, run_id)]
        if clock.monotonic() >= deadline:
            return None
        await clock.sleep(_POLL_SECONDS)
