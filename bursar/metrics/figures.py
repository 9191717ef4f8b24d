"""Gauges that come from the books: counted in the background, shown from memory.

A scrape never touches the database. The count over a million invoices takes a
few hundred milliseconds; so that it stays below a fiftieth of the time, the
pause grows with what the last count took. Ages go on growing between counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import inf
from typing import Final

from prometheus_client import Gauge

from bursar.metrics.families import Families
from config.clock import Clock
from config.waiting import wait
from ledger.figures import Figures, read_figures
from ledger.store import Ledger

EVERY: Final = 3.0
SHARE: Final = 50
"""At most a fiftieth of the time is spent counting."""


def pause_for(took: float) -> float:
    """Seconds to the next count, after one that took that long."""
    return max(EVERY, SHARE * took)


class BooksGauges:
    """Keeps the last :class:`Figures` and shows them."""

    def __init__(
        self, families: Families, ledger: Ledger, clock: Clock, *, presigned: bool = False
    ) -> None:
        """:param presigned: deposit addresses run out; they do not where an xpub derives them."""
        self._presigned = presigned
        self._families = families
        self._ledger = ledger
        self._clock = clock
        self._last: Figures | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Count until stopped."""
        while not stop.is_set():
            took = await self.refresh()
            await wait(self._clock, pause_for(took), stop)

    async def refresh(self) -> float:
        """Count once; seconds that it took."""
        began = self._clock.monotonic()
        async with self._ledger.reading() as tx:
            figures = await read_figures(tx)
        took = self._clock.monotonic() - began
        self._last = figures
        self._families.figures_age.set(took)
        self._show(figures)
        self.show_ages(self._clock.now())
        return took

    def show_ages(self, now: datetime) -> None:
        """Bring what grows by itself up to ``now``; called at each scrape."""
        figures = self._last
        if figures is None:
            return
        self._families.payout_oldest_due.set(_age(figures.oldest_due, now))
        self._families.webhook_oldest_pending.set(_age(figures.oldest_delivery, now))
        for (chain, lane), figure in figures.lanes.items():
            self._families.tx_oldest_pending.labels(chain, lane).set(_age(figure.oldest, now))

    def _show(self, figures: Figures) -> None:
        families = self._families
        _set_all(families.invoices, figures.invoices)
        _set_all(families.payouts, figures.payouts)
        _set_all(families.holds, figures.holds)
        _set_all(families.paused, dict.fromkeys(figures.paused, 1))
        families.watched_addresses.set(figures.addresses)
        for settings in self._ledger.catalogue.chains:
            left = figures.presigned_left.get(settings.chain_id, 0) if self._presigned else inf
            families.presigned_left.labels(settings.name).set(left)
        for chain, row in figures.chains.items():
            families.watcher_cursor_block.labels(chain).set(row.cursor_block)
            families.chain_halted.labels(chain).set(int(row.halted_reason is not None))
        for gauge in (
            families.tx_pending,
            families.tx_oldest_pending,
            families.lane_halted,
            families.fee_cap_waiting,
        ):
            _set_all(gauge, {})
        for chain, lane in figures.fee_waits:
            families.fee_cap_waiting.labels(chain, lane).set(1)
        for (chain, lane), figure in figures.lanes.items():
            families.tx_pending.labels(chain, lane).set(figure.pending)
        for chain, lane in figures.halted_lanes:
            families.lane_halted.labels(chain, lane).set(1)
        for (kind, chain, token), base_units in figures.balances.items():
            families.ledger_balance.labels(kind, chain, token).set(base_units)


def _set_all(gauge: Gauge, values: Mapping[str, int]) -> None:
    """Show ``values`` by their one label; what is no longer there goes to zero, not away."""
    for family in gauge.collect():
        for sample in family.samples:
            gauge.labels(**sample.labels).set(0)
    for label, value in values.items():
        gauge.labels(label).set(value)


def _age(since: datetime | None, now: datetime) -> float:
    """Seconds, zero where there is nothing or the clock went back."""
    return 0.0 if since is None else max((now - since) / timedelta(seconds=1), 0.0)
