"""Whose part of which chain is late: its books were not compared with it when it was due. Pure.

That part is looked at again every few seconds. The merchant's other chains were paid on time,
and are not due again before the schedule says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ledger.runs import MerchantBalance


@dataclass(frozen=True, slots=True)
class Late:
    """``until``: when all chains are due again by the schedule; ``None``: never."""

    chains: frozenset[str]
    until: datetime | None

    def alone(self, now: datetime) -> bool:
        """Whether nothing but these chains is due."""
        return self.until is None or now < self.until


def due_part(
    balances: Iterable[MerchantBalance], late: Mapping[str, Late], now: datetime
) -> list[MerchantBalance]:
    """Balances that are due: of a merchant of whom a part is late, that part."""
    return [
        b
        for b in balances
        if (known := late.get(b.merchant_id)) is None
        or b.chain in known.chains
        or not known.alone(now)
    ]


def late_part(
    missing: Iterable[MerchantBalance],
    late: Mapping[str, Late],
    next_due: Mapping[str, datetime | None],
    now: datetime,
) -> dict[str, Late]:
    """What is late from now on, by merchant.

    :param missing: balances that are due, on chains that are not compared.
    :param next_due: by merchant, when all is due again.
    """
    chains: dict[str, set[str]] = defaultdict(set)
    for b in missing:
        chains[b.merchant_id].add(b.chain)
    found = {}
    for merchant_id, names in chains.items():
        known = late.get(merchant_id)
        until = known.until if known and known.alone(now) else next_due[merchant_id]
        found[merchant_id] = Late(frozenset(names), until)
    return found
