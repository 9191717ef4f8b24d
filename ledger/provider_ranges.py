"""How many blocks each provider lets a range have, remembered over restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from ledger.schema import provider_ranges
from ledger.sql import upsert
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class ProviderRange:
    """``provider``: its label, never its URL; sizes in blocks."""

    provider: str
    size: int
    ceiling: int
    ceiling_at: datetime
    """Since when the ceiling is held to be so: a plan may be changed."""


async def provider_ranges_of(tx: Tx, chain: str) -> list[ProviderRange]:
    """What was learned before, of every provider that this chain ever had."""
    query = sa.select(provider_ranges).where(provider_ranges.c.chain == chain)
    return [
        ProviderRange(row.provider, row.size, row.ceiling, row.ceiling_at)
        for row in await tx.conn.execute(query)
    ]


async def keep_provider_ranges(tx: Tx, chain: str, learned: Sequence[ProviderRange]) -> None:
    """Remember these, in place of what was known of the same providers."""
    rows = [
        {
            "chain": chain,
            "provider": each.provider,
            "size": each.size,
            "ceiling": each.ceiling,
            "ceiling_at": each.ceiling_at,
        }
        for each in learned
    ]
    await upsert(tx, provider_ranges, rows, key=("chain", "provider"))
