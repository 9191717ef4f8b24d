"""Young income of merchants whose terms keep some of it back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from ledger.schema import payments
from ledger.store import Tx

Place = tuple[str, str, str]
"""Merchant, chain, token."""


async def income_since(
    tx: Tx, since: Mapping[str, datetime]
) -> dict[Place, list[tuple[int, datetime]]]:
    """Net base units and time of confirmation of payments confirmed after a moment.

    :param since: by merchant; those left out are not looked at.
    """
    found: dict[Place, list[tuple[int, datetime]]] = defaultdict(list)
    for merchant_id, moment in sorted(since.items()):
        query = sa.select(
            payments.c.chain,
            payments.c.token,
            payments.c.amount,
            payments.c.fee,
            payments.c.confirmed_at,
        ).where(
            payments.c.merchant_id == merchant_id,
            payments.c.status == "confirmed",
            payments.c.held.is_(False),
            payments.c.confirmed_at > moment,
        )
        for row in await tx.conn.execute(query):
            place = (merchant_id, row.chain, row.token)
            found[place].append((row.amount - row.fee, row.confirmed_at))
    return dict(found)
