"""Merchants: who is credited and paid, and under which terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from config.durations import format_duration
from config.errors import NotFoundError
from config.models import SettlementSettings
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
    delay: timedelta | None = None
    reserve_bps: int | None = None
    reserve_for: timedelta | None = None


def configured_terms(settings: SettlementSettings) -> PayoutTerms:
    """What applies to merchants without terms of their own."""
    return PayoutTerms(
        settings.schedule,
        settings.minimum_payout,
        settings.fee_bps,
        settings.delay,
        settings.reserve_bps,
        settings.reserve_for,
    )


async def create_merchant(tx: Tx, name: str, terms: PayoutTerms | None = None) -> str:
    """A new merchant; returns its id. Terms left out follow the configuration."""
    terms = terms or PayoutTerms()
    merchant_id = tx.new_id("mer")
    await tx.conn.execute(
        merchants.insert().values(
            id=merchant_id,
            name=name,
            created_at=tx.now,
            **_columns(terms),
        )
    )
    return merchant_id


def _columns(terms: PayoutTerms) -> dict[str, Any]:
    return {
        "schedule": terms.schedule,
        "minimum_payout": terms.minimum_payout,
        "fee_bps": terms.fee_bps,
        "payout_delay": _seconds(terms.delay),
        "reserve_bps": terms.reserve_bps,
        "reserve_for": _seconds(terms.reserve_for),
    }


def _seconds(duration: timedelta | None) -> int | None:
    """Whole seconds, rounded up: nothing is payable earlier than was agreed."""
    return None if duration is None else -(-duration // timedelta(seconds=1))


async def change_terms(tx: Tx, merchant_id: str, terms: PayoutTerms) -> None:
    """Replace a merchant's own terms as a whole; what is left out follows the configuration.

    Payouts that were promised stay as they are. The next due date is counted anew.

    :raises NotFoundError: no such merchant.
    """
    changed = await tx.conn.execute(
        merchants.update()
        .where(merchants.c.id == merchant_id)
        .values(**_columns(terms), next_settlement_at=None)
    )
    if not changed.rowcount:
        raise NotFoundError(f"no merchant {merchant_id}")


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
    """Terms of a merchant's row as merchants see them, filled in from the configuration."""
    own = PayoutTerms(
        row["schedule"],
        row["minimum_payout"],
        row["fee_bps"],
        _span(row["payout_delay"]),
        row["reserve_bps"],
        _span(row["reserve_for"]),
    )
    found = {}
    for name in PayoutTerms.__dataclass_fields__:
        value = getattr(own, name)
        value = getattr(defaults, name) if value is None else value
        found[name] = format_duration(value) if isinstance(value, timedelta) else value
    return found


def _span(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
