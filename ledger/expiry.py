"""Invoices whose time is over."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.bulk import execute
from ledger.invoices import Tolerance, refresh_invoices
from ledger.schema import invoices
from ledger.store import Tx

_OVERDUE: Final = (
    sa.select(invoices.c.id)
    .where(
        sa.text("status IN ('new', 'partially_paid')"),
        invoices.c.expires_at < sa.bindparam("by"),
        # What is new leaves that status; a partial payment stays, so it is looked at once.
        sa.or_(sa.text("status = 'new'"), invoices.c.updated_at <= invoices.c.expires_at),
    )
    .order_by(invoices.c.expires_at)
    .limit(sa.bindparam("most"))
)


async def expire_due(tx: Tx, tolerance: Tolerance, limit: int = 1000) -> int:
    """Bring invoices whose deadline has passed up to date; returns how many were due."""
    due = [row["id"] for row in await execute(tx, _OVERDUE, by=tx.now, most=limit)]
    await refresh_invoices(tx, due, tolerance)
    return len(due)
