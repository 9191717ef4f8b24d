"""What payouts have taken out of a treasury, by the time at which they were sealed."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from ledger.schema import batches, holds, payouts
from ledger.store import Tx

_LEFT = ("batched", "submitted", "paid")


async def outflow(
    tx: Tx,
    chain: str,
    token: str,
    since: datetime,
    until: datetime,
    *,
    promised_after: datetime | None = None,
) -> int:
    """Base units of the payouts that were sealed from ``since`` on and before ``until``.

    :param promised_after: payouts made up to then are not counted.
    """
    query = (
        sa.select(payouts.c.amount)
        .join(batches, batches.c.id == payouts.c.batch_id)
        .where(
            batches.c.chain == chain,
            batches.c.lane == "payouts",
            batches.c.token == token,
            batches.c.created_at >= since,
            batches.c.created_at < until,
            payouts.c.status.in_(_LEFT),
        )
    )
    if promised_after is not None:
        query = query.where(payouts.c.created_at > promised_after)
    return sum((await tx.conn.execute(query)).scalars())


async def first_outflow(tx: Tx, chain: str, token: str) -> datetime | None:
    """When the first payout batch of a token was sealed."""
    query = sa.select(sa.func.min(batches.c.created_at)).where(
        batches.c.chain == chain, batches.c.lane == "payouts", batches.c.token == token
    )
    moment: datetime | None = await tx.conn.scalar(query)
    return moment


async def last_release(tx: Tx, kind: str, object_id: str) -> datetime | None:
    """When an operator last released a hold of this object."""
    query = sa.select(sa.func.max(holds.c.released_at)).where(
        holds.c.kind == kind, holds.c.object_id == object_id
    )
    moment: datetime | None = await tx.conn.scalar(query)
    return moment
