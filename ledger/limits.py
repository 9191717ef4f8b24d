"""How much may be promised: per payout, per merchant and day, per token and day. Pure but for
the reading of what was promised today, and the lock that it is read under.

Who is over a limit is not refused: the payout begins on hold with the reason, and an
operator's release lets it go. What waits on hold is not counted as promised, nor what is over a
limit and waits for time or for an approval first: it would take the room of a whole day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from config.catalogue import Catalogue
from config.models import SettlementSettings
from config.money import parse_amount
from ledger.schema import leases, payouts
from ledger.sql import insert_ignore
from ledger.store import Tx

PAYOUT_LIMIT: Final = "over the limit of one payout"
TRANSACTION_LIMIT: Final = "over the limit of one transaction"
MERCHANT_LIMIT: Final = "over the merchant's daily limit"
DAILY_LIMIT: Final = "over the daily limit"
_PROMISES: Final = "promises"
"""A lease's row that nobody holds for longer than a transaction."""
_LIMITS: Final = (PAYOUT_LIMIT, TRANSACTION_LIMIT, MERCHANT_LIMIT, DAILY_LIMIT)
_COUNTED: Final = ("pending_approval", "queued", "batched", "submitted", "paid")
Place = tuple[str, str]
"""Chain and token."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Base units by chain and token; where a place is missing there is no limit.

    :param payout: of one payout.
    :param transaction: of all that one batch moves.
    :param merchant: of one merchant's payouts in a day (UTC).
    :param daily: of all payouts in a day (UTC).
    """

    payout: Mapping[Place, int] = field(default_factory=dict)
    transaction: Mapping[Place, int] = field(default_factory=dict)
    merchant: Mapping[Place, int] = field(default_factory=dict)
    daily: Mapping[Place, int] = field(default_factory=dict)

    @property
    def count_days(self) -> bool:
        """Whether it matters what was promised today."""
        return bool(self.merchant or self.daily)


class Promised:
    """Base units promised today, by merchant and by token; what is planned is added."""

    def __init__(self, by_merchant: Mapping[tuple[str, str, str], int] | None = None) -> None:
        self._by_merchant: Counter[tuple[str, str, str]] = Counter(by_merchant or {})
        self._by_token: Counter[Place] = Counter()
        for (_, chain, token), amount in self._by_merchant.items():
            self._by_token[chain, token] += amount

    def copy(self) -> Promised:
        """The same, to count on from."""
        return Promised(self._by_merchant)

    def add(self, merchant_id: str, place: Place, amount: int) -> None:
        """Count a payout that is not on hold."""
        self._by_merchant[merchant_id, *place] += amount
        self._by_token[place] += amount

    def exceeded(self, limits: Limits, merchant_id: str, place: Place, amount: int) -> str | None:
        """The limit that one more payout of ``amount`` base units would break, as a reason."""
        rules = (
            (limits.payout.get(place), 0, PAYOUT_LIMIT),
            (limits.transaction.get(place), 0, TRANSACTION_LIMIT),
            (limits.merchant.get(place), self._by_merchant[merchant_id, *place], MERCHANT_LIMIT),
            (limits.daily.get(place), self._by_token[place], DAILY_LIMIT),
        )
        broken = (
            why for limit, before, why in rules if limit is not None and before + amount > limit
        )
        return next(broken, None)


def limits_of(settings: SettlementSettings, catalogue: Catalogue) -> Limits:
    """The configured limits of every configured token, in its base units."""
    return Limits(
        payout=base_units(catalogue, settings.payout_limit),
        transaction=base_units(catalogue, settings.transaction_limit),
        merchant=base_units(catalogue, settings.merchant_daily_limit),
        daily=base_units(catalogue, settings.daily_limit),
    )


def base_units(catalogue: Catalogue, amounts: Mapping[str, str]) -> dict[Place, int]:
    """Whole units by symbol to base units by chain and token."""
    return {
        (token.chain, token.symbol): parse_amount(amounts[token.symbol], token.decimals)
        for token in catalogue
        if token.symbol in amounts
    }


async def lock_promises(tx: Tx) -> None:
    """Nobody else counts, and promises by what it counted, until the transaction ends.

    Of two refunds asked for at once PostgreSQL would show neither to the other, and each would
    find room under the limit. To be taken before any other lock.
    """
    row = {"name": _PROMISES, "owner": "", "expires_at": tx.now}
    await insert_ignore(tx, leases, [{**row, "fencing_token": 0, "ready_token": 0}])
    query = sa.select(leases.c.name).where(leases.c.name == _PROMISES)
    await tx.conn.execute(query.with_for_update())


async def promised_today(tx: Tx) -> Promised:
    """Payouts made since midnight UTC; those on hold, canceled or failed are not counted."""
    promised = Promised()
    for row in await promises_of(tx, day_of(tx.now)):
        promised.add(row.merchant_id, (row.chain, row.token), row.amount)
    return promised


async def promises_of(tx: Tx, midnight: datetime) -> Sequence[sa.Row[Any]]:
    """What counts as promised on the day that began then, in the order in which it was."""
    columns = ("id", "merchant_id", "chain", "token", "amount", "status", "reason")
    query = sa.select(*(payouts.c[name] for name in columns)).where(
        payouts.c.created_at >= midnight,
        payouts.c.created_at < midnight + timedelta(days=1),
        payouts.c.status.in_(_COUNTED),
    )
    rows = (await tx.conn.execute(query.order_by(payouts.c.id))).all()
    return [r for r in rows if r.status != "pending_approval" or not names_limit(r.reason)]


def names_limit(reason: str | None) -> bool:
    """Whether a payout found no room under a limit, by what it waits for. Pure."""
    return reason is not None and any(limit in reason for limit in _LIMITS)


def day_of(moment: datetime) -> datetime:
    """Its midnight, UTC. Pure."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
