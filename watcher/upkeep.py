"""Once a minute at the head: what proves completeness is kept small, looked at, and told.

Nothing here decides about money. A crash leaves less thinned out, or a check's time
that is a minute old.
"""

from __future__ import annotations

from typing import Final

from chain.ranges import LARGEST
from config.clock import Clock
from ledger.chain_checks import BEGINNING, CheckRun, check_runs, save_runs
from ledger.coverage import AT_ONCE, coverage, thin_out
from ledger.cursors import Cursor
from ledger.findings import finding_counts
from ledger.leases import Lease
from ledger.rescans import read_twice
from ledger.store import Ledger
from watcher.effects import House, hold
from watcher.report import Report

EVERY_SECONDS: Final = 60.0
COVERAGE_SHARE: Final = 100
"""Looking through all that is kept of a chain takes one part in so many of the time at most: each
block with a payment is kept for ever."""
PRUNING: Final = "pruning"
KEPT_ELSEWHERE: Final = ("balance_audit", PRUNING)
"""Checks whose place is kept by whoever runs them."""


class Upkeep:
    """The minute's work of one chain."""

    def __init__(self, ledger: Ledger, house: House, clock: Clock, report: Report) -> None:
        self._ledger = ledger
        self._house = house
        self._chain = house.chain.name
        self._clock = clock
        self._report = report
        self._due = 0.0
        self._coverage_due = 0.0

    async def step(self, cursor: Cursor, lease: Lease | None) -> bool:
        """Do what is due; whether there is more of it at once.

        :raises ConflictError: the chain moved meanwhile; nothing was committed.
        """
        now = self._clock.monotonic()
        if now < self._due:
            return False
        first, self._due = self._due == 0.0, now + EVERY_SECONDS
        if first:
            async with self._ledger.reading() as tx:
                self._report.remember(await check_runs(tx, self._chain))
        more = await self._write(cursor, lease)
        if more:
            self._due = now
        async with self._ledger.reading() as tx:
            counts = await finding_counts(tx, self._chain)
        self._report.findings(counts)
        if now >= self._coverage_due:
            await self._cover(cursor)
        return more

    async def _cover(self, cursor: Cursor) -> None:
        began = self._clock.monotonic()
        async with self._ledger.reading() as tx:
            found = await coverage(tx, cursor, LARGEST)
        self._report.covered(found)
        ended = self._clock.monotonic()
        self._coverage_due = ended + COVERAGE_SHARE * (ended - began)

    async def _write(self, cursor: Cursor, lease: Lease | None) -> bool:
        deep = cursor.final.number - self._house.chain.keep_blocks
        async with self._ledger.transaction() as tx:
            await hold(tx, self._chain, cursor, lease)
            runs = await check_runs(tx, self._chain)
            pruning = runs.get(PRUNING)
            place = BEGINNING if pruning is None else pruning.position
            gone = 0
            # In whole pieces, so that no more is left than has to be.
            if deep - max(place, cursor.start_block) >= AT_ONCE:
                place, gone = await thin_out(tx, self._chain, place, deep)
            told = {
                name: CheckRun(self._chain, name, at, cursor.cursor.number)
                for name, at in self._report.checks.items()
                if name not in KEPT_ELSEWHERE
            }
            twice = await read_twice(tx, self._chain)
            if "second_reading" in told and twice is not None:
                told["second_reading"] = CheckRun(
                    self._chain, "second_reading", told["second_reading"].at, twice
                )
            pruned = CheckRun(self._chain, PRUNING, tx.now, max(deep, 0), place)
            await save_runs(tx, [*told.values(), pruned])
        return gone > 0
