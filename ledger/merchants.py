"""Merchants: who is credited and paid, and under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from config.errors import NotFoundError
from ledger.schema import merchants
from ledger.sql import as_row
from ledger.store import Tx
from ledger.views import view_merchant


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """A merchant's own terms, or the configured ones; amounts as text in token units."""

    schedule: str | None = None
    minimum_payout: str | None = None
    fee_bps: int | None = None


async def create_merchant(tx: Tx, name: str, terms: PayoutTerms | None = None) -> str:
    """A new merchant; returns its id. Terms left out follow the configuration."""
    terms = terms or PayoutTerms()
    merchant_id = tx.new_id("mer")
    await tx.conn.execute(
        merchants.insert().values(
            id=merchant_id,
            name=name,
            created_at=tx.now,
            schedule=terms.schedule,
            minimum_payout=terms.minimum_payout,
            fee_bps=terms.fee_bps,
        )
    )
    return merchant_id


async def get_merchant(tx: Tx, merchant_id: str, defaults: PayoutTerms) -> dict[str, Any]:
    """A merchant with the terms that apply to it.

    :raises NotFoundError: no such merchant.
    """
    row = (await tx.conn.execute(sa.select(merchants).where(merchants.c.id == merchant_id))).first()
    if row is None:
        raise NotFoundError(f"no merchant {merchant_id}")
    return view_merchant(as_row(row), with_defaults(as_row(row), defaults))


async def merchant_exists(tx: Tx, merchant_id: str) -> bool:
    """Whether there is such a merchant."""
    query = sa.select(merchants.c.id).where(merchants.c.id == merchant_id)
    return await tx.conn.scalar(query) is not None


def with_defaults(row: Any, defaults: PayoutTerms) -> dict[str, Any]:
    """Terms of a merchant's row, filled in from the configuration."""
    return {
        name: getattr(defaults, name) if row[name] is None else row[name]
        for name in ("schedule", "minimum_payout", "fee_bps")
    }
