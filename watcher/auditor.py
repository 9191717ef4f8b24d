"""Going round all deposit addresses, a page a step: does the chain hold what the books say?

Balances are read at the cursor's block, by its hash, and held against the books of the
same snapshot. What is above them is looked for (:mod:`watcher.audit_search`) and credited
through the same door as any payment; what nothing explains is named by a hold. A round's
place is kept, so that a restart goes on; a crash between two keepings repeats some pages.

Not guaranteed: a payment that a sweep of the same amount took unseen. A sweep takes
only what was credited, so there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from chain.balances import Holding, aggregated, one_by_one
from chain.client import ChainClient
from chain.rpc.errors import RpcError
from config.clock import Clock
from config.units import Address
from ledger.audited import Audited, Span, audited_after, audited_one, expected_at, note_native
from ledger.chain_checks import BEGINNING, CheckRun, check_runs, save_runs
from ledger.cursors import Cursor, get_cursor
from ledger.findings import (
    Finding,
    close_findings,
    finding_counts,
    next_search,
    note_difference,
    open_findings,
)
from ledger.invoices import refresh_invoices
from ledger.leases import Lease
from ledger.store import Ledger, Tx
from watcher.audit import Verdict, judge, page_size, questions, round_due, upheld
from watcher.audit_search import Search
from watcher.effects import House, hold
from watcher.report import Report

NAME: Final = "balance_audit"
KEEP_EVERY: Final = 20
"""Pages between two keepings of the place, where nothing else has to be written."""
RETRY_SECONDS: Final = 15.0
"""After no provider could tell balances at the cursor's block."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The books as of the cursor, for some addresses."""

    run: CheckRun | None
    page: Sequence[Audited]
    expected: Mapping[tuple[Address, Address], Span]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Step:
    """``more``: go on at once; ``found``: payments that had been missed are in the books."""

    more: bool = False
    found: bool = False


class Auditor:
    """The balance audit of one chain."""

    def __init__(self, ledger: Ledger, house: House, clock: Clock, report: Report) -> None:
        self._ledger = ledger
        self._house = house
        self._chain = house.chain.name
        self._clock = clock
        self._report = report
        self._tokens = [token.address for token in ledger.catalogue.tokens(self._chain)]
        self._search = Search(ledger, house, report)
        self._started = clock.now()
        self._not_before = 0.0
        self._run: CheckRun | None = None
        self._unkept = 0
        self._with_coin = 0
        self._plain: set[str | None] = set()

    async def step(self, client: ChainClient, cursor: Cursor, lease: Lease | None) -> Step | None:
        """Search a piece for what is missing, or audit a page; ``None``: nothing is due.

        :raises ConflictError: the chain moved meanwhile; nothing was committed.
        """
        if self._clock.monotonic() < self._not_before:
            return None
        try:
            return await self._step(client, cursor, lease)
        except RpcError as error:
            # Nobody can tell now. The chain is followed all the same.
            self._not_before = self._clock.monotonic() + RETRY_SECONDS
            self._report.audit_failed(error)
            return None

    async def _step(self, client: ChainClient, cursor: Cursor, lease: Lease | None) -> Step | None:
        async with self._ledger.reading() as tx:
            finding = await next_search(tx, self._chain)
        if finding is not None:
            return await self._look_for(client, cursor, lease, finding)
        books = await self._open_page(cursor)
        if books is None:
            return None
        await self._examine(client, cursor, lease, books)
        return Step()

    # --- a page ------------------------------------------------------------------------

    async def _open_page(self, cursor: Cursor) -> _Snapshot | None:
        """The next page and what the books say of it; ``None``: no round is due."""
        size = page_size(len(self._tokens))
        async with self._ledger.reading() as tx:
            await _one_snapshot(tx)
            run = self._newest((await check_runs(tx, self._chain)).get(NAME))
            if run is None or not run.under_way:
                if not round_due(run, self._house.chain.balance_audit, self._started, tx.now):
                    return None
                done = None if run is None else run.round_done
                run = CheckRun(self._chain, NAME, tx.now, 0, BEGINNING, tx.now, done)
                self._with_coin = 0
            page = await audited_after(tx, self._chain, run.position, size, cursor.start_block)
            run = replace(run, at=tx.now, block=cursor.cursor.number)
            if page:
                run = replace(run, position=page[-1].index)
            if len(page) < size:
                run = run.ended(tx.now)
            return await self._snapshot(tx, cursor, page, run)

    def _newest(self, stored: CheckRun | None) -> CheckRun | None:
        """Our own memory goes beyond what was kept; another leader's goes before ours."""
        if stored is None or (self._run is not None and self._run.at >= stored.at):
            return self._run
        return stored

    async def _snapshot(
        self, tx: Tx, cursor: Cursor, page: Sequence[Audited], run: CheckRun | None
    ) -> _Snapshot | None:
        now = await get_cursor(tx, self._chain)
        if now is None or now.cursor != cursor.cursor:
            return None
        return _Snapshot(
            run,
            page,
            await expected_at(tx, self._chain, page, cursor.cursor.number),
            await open_findings(tx, self._chain, [owner.address for owner in page]),
        )

    async def _examine(
        self, client: ChainClient, cursor: Cursor, lease: Lease | None, books: _Snapshot,
        resolution: str = "balance and books agree again",
    ) -> None:  # fmt: skip
        mark = cursor.cursor
        asked = questions(books.page, self._tokens)
        reader, balances = await self._balances(client, asked, cursor)
        verdict = judge(books.page, asked, balances, books.expected, mark.number, mark.hash)
        if verdict.differences:
            again = await self._ask_again(client, reader, verdict, cursor)
            first, verdict = verdict, upheld(verdict, again, books.expected)
            if len(verdict.differences) < len(first.differences):
                reader.doubt(reader.provider or "")
                self._report.checked(NAME, good=False)
        await self._commit(cursor, lease, books, verdict, resolution)

    async def _commit(
        self, cursor: Cursor, lease: Lease | None, books: _Snapshot, verdict: Verdict,
        resolution: str,
    ) -> None:  # fmt: skip
        run = books.run
        over = [f for f in books.findings if (f.address, f.token_address) in verdict.agreed]
        ended = run is not None and not run.under_way
        self._unkept += 1
        if verdict.differences or over or verdict.native or ended or self._unkept >= KEEP_EVERY:
            async with self._ledger.transaction() as tx:
                await hold(tx, self._chain, cursor, lease)
                for difference in verdict.differences:
                    await note_difference(tx, self._chain, difference)
                await close_findings(tx, over, resolution)
                await note_native(tx, self._chain, verdict.native)
                await refresh_invoices(tx, verdict.native.keys(), self._house.tolerance)
                if run is not None:
                    await save_runs(tx, [run])
                counts = await finding_counts(tx, self._chain)
            self._unkept = 0
            self._report.findings(counts)
        if run is not None:
            self._run = run
            self._with_coin += verdict.with_coin
            self._report.audited(verdict, len(books.page), self._with_coin if ended else None)

    # --- balances ----------------------------------------------------------------------

    async def _balances(
        self, client: ChainClient, asked: Sequence[Holding], cursor: Cursor
    ) -> tuple[ChainClient, list[int | None]]:
        """From another provider than the one that leads the scan, where one can tell."""
        other = client.second()
        if other is not None:
            try:
                return other, await self._read(other, asked, cursor)
            except RpcError:
                pass  # it lags, or keeps no states: the first one has to do
        return client, await self._read(client, asked, cursor)

    async def _read(
        self, view: ChainClient, asked: Sequence[Holding], cursor: Cursor
    ) -> list[int | None]:
        if view.provider not in self._plain:
            found = await aggregated(view, asked, cursor.cursor.hash)
            if found is not None:
                return found
            self._plain.add(view.provider)
        return await one_by_one(view, asked, cursor.cursor.hash)

    async def _ask_again(
        self, client: ChainClient, reader: ChainClient, first: Verdict, cursor: Cursor
    ) -> Mapping[Holding, int | None]:
        """What differs, asked for one by one, of another provider than before if there is one."""
        asked = [Holding(d.token_address, d.owner.address) for d in first.differences]
        other = client if reader is not client else client.second()
        for view in (other, reader):
            if view is None:
                continue
            try:
                answers = await one_by_one(view, asked, cursor.cursor.hash)
            except RpcError:
                if view is reader:
                    raise
                continue
            return dict(zip(asked, answers, strict=True))
        raise AssertionError("the reader has answered or raised")

    # --- what is missing ---------------------------------------------------------------

    async def _look_for(
        self, client: ChainClient, cursor: Cursor, lease: Lease | None, finding: Finding
    ) -> Step | None:
        recorded = await self._search.step(client, cursor, lease, finding)
        if recorded == 0:
            return Step(more=True)
        async with self._ledger.reading() as tx:
            await _one_snapshot(tx)
            owner = await audited_one(tx, self._chain, finding.address, cursor.start_block)
            assert owner is not None, "a finding is of an address of ours"
            books = await self._snapshot(tx, cursor, [owner], None)
        if books is not None:
            await self._examine(client, cursor, lease, books, "found and recorded")
        return Step(more=True, found=True)


async def _one_snapshot(tx: Tx) -> None:
    """Read committed would show each statement another state of a busy database."""
    if tx.dialect == "postgresql":
        await tx.conn.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
