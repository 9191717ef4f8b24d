"""Payouts on hold for one reason, token by token: many of one must not hide another's."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.schema import payouts
from ledger.sql import as_row
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row


async def held_tokens(tx: Tx, chain: str, reason: str) -> list[str]:
    """Tokens of which payouts are on hold for exactly this reason."""
    query = sa.select(payouts.c.token).where(*_held(chain, reason)).distinct()
    return sorted((await tx.conn.execute(query)).scalars())


async def held_payouts(tx: Tx, chain: str, token: str, reason: str, limit: int = 1000) -> list[Row]:
    """A token's payouts on hold for exactly this reason, oldest first, locked."""
    query = (
        sa.select(payouts)
        .where(*_held(chain, reason), payouts.c.token == token)
        .order_by(payouts.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [as_row(row) for row in await tx.conn.execute(query)]


def _held(chain: str, reason: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        payouts.c.chain == chain,
        payouts.c.status == PayoutStatus.ON_HOLD.value,
        payouts.c.reason == reason,
    )
