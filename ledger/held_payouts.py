"""Payouts on hold for one reason, token by token: many of one must not hide another's."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.bulk import execute
from ledger.schema import payouts
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row

_HELD: Final = (
    payouts.c.chain == sa.bindparam("of_chain"),
    payouts.c.status == sa.literal_column(f"'{PayoutStatus.ON_HOLD.value}'"),
    payouts.c.reason == sa.bindparam("why"),
)
HELD_TOKENS: Final = sa.select(payouts.c.token).where(*_HELD).distinct()
_OF_TOKEN: Final = (
    sa.select(payouts)
    .where(*_HELD, payouts.c.token == sa.bindparam("of_token"))
    .order_by(payouts.c.id)
    .limit(sa.bindparam("most"))
    .with_for_update()
)


async def held_tokens(tx: Tx, chain: str, reason: str) -> list[str]:
    """Tokens of which payouts are on hold for exactly this reason."""
    rows = await execute(tx, HELD_TOKENS, of_chain=chain, why=reason)
    return sorted(row["token"] for row in rows)


async def held_payouts(tx: Tx, chain: str, token: str, reason: str, limit: int = 1000) -> list[Row]:
    """A token's payouts on hold for exactly this reason, oldest first, locked."""
    return [*await execute(tx, _OF_TOKEN, of_chain=chain, of_token=token, why=reason, most=limit)]
