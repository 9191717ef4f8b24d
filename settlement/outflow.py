"""The breaker's third reason: far more leaves the treasury in a day than usual.

Asked before a batch is sealed, so that what is unusual has not left yet. A token's outflow
of 24 hours, the next batch included, may be ``factor`` times the mean of the days before,
and never less than ``floor``. Without a week of history nothing is usual yet, and only the
limits hold. An operator's release of the hold accepts what was promised until then: it
neither counts nor waits any more, and the 24 hours begin anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from config.money import format_amount, parse_amount
from ledger.leases import Lease, check
from ledger.outflows import first_outflow, last_release, outflow
from ledger.store import Tx
from ledger.views import Row
from settlement.context import Context
from settlement.stopping import stop_token

DAY: Final = timedelta(days=1)
LEAST_DAYS: Final = 7
"""Days of history below which nothing is unusual."""
_KEPT_FOR: Final = timedelta(hours=1)
"""The mean of two weeks hardly moves within an hour, and reads every payout of them."""


def most_usual(*, factor: int, floor: int, before: int, days: int) -> int | None:
    """Base units a day that are not unusual; ``None``: any. Pure.

    :param factor: times the daily mean; 0: the rule is off.
    :param before: base units of all ``days`` together.
    """
    if factor == 0 or days < LEAST_DAYS:
        return None
    return max(floor, factor * before // days)


@dataclass(frozen=True, slots=True)
class _Usual:
    most: int | None
    read_at: datetime


class OutflowGuard:
    """Remembers one chain's means, and within one tick what was let go."""

    def __init__(self) -> None:
        self._usual: dict[str, _Usual] = {}
        self._today: dict[str, int] = {}

    def begin_tick(self) -> None:
        """Another process may have sealed since: what has left today is read again."""
        self._today.clear()

    async def stops(self, ctx: Context, lease: Lease, token: str, rows: Sequence[Row]) -> bool:
        """Whether sealing these payouts would be unusual; then the token is stopped."""
        if ctx.settings.unusual_outflow.factor == 0:
            return False
        place = f"{ctx.name}/{token}/outflow"
        async with ctx.ledger.reading() as tx:
            usual = await self._most(tx, ctx, token)
            if usual is None:
                return False
            accepted = await last_release(tx, "batch", place)
            if token not in self._today:
                since = max(tx.now - DAY, accepted or tx.now - DAY)
                self._today[token] = await outflow(
                    tx, ctx.name, token, since, tx.now + DAY, promised_after=accepted
                )
        new = sum(r["amount"] for r in rows if accepted is None or r["created_at"] > accepted)
        total = self._today[token] + new
        if not new or total <= usual:
            self._today[token] = total
            return False
        places = ctx.ledger.catalogue.token(ctx.name, token).decimals
        reason = (
            f"unusual outflow: {format_amount(total, places)} {token} within 24 hours, "
            f"usual are up to {format_amount(usual, places)}; release this hold to let it go"
        )
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await stop_token(tx, ctx, token, "outflow", reason)
        return True

    async def _most(self, tx: Tx, ctx: Context, token: str) -> int | None:
        known = self._usual.get(token)
        if known is None or not timedelta(0) <= tx.now - known.read_at < _KEPT_FOR:
            known = self._usual[token] = _Usual(await _read_usual(tx, ctx, token), tx.now)
        return known.most


async def _read_usual(tx: Tx, ctx: Context, token: str) -> int | None:
    rule, until = ctx.settings.unusual_outflow, tx.now - DAY
    first = await first_outflow(tx, ctx.name, token)
    days = 0 if first is None else min(-((first - until) // DAY), rule.days)
    before = 0
    for number in range(max(days, 0)):  # day by day: a busy one has ten thousand payouts
        end = until - number * DAY
        before += await outflow(tx, ctx.name, token, end - DAY, end)
    places = ctx.ledger.catalogue.token(ctx.name, token).decimals
    floor = parse_amount(rule.floor, places)
    return most_usual(factor=rule.factor, floor=floor, before=before, days=days)
