"""A long outage: more blocks than a person waits for, caught up whole, with word of how far."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from benchmarks.books import Cache, sqlite_url
from benchmarks.replay.chain import HIT_UNITS, ChainSpec
from benchmarks.replay.process import Replay
from benchmarks.stage import CONFIRMATIONS, Stage, open_stage
from ledger.books import all_totals
from ledger.postings import AccountKind
from ledger.schema import invoices, payments

WEEK = 302_400
"""Blocks of two seconds. The test takes a fiftieth; ``MISSED_BLOCKS`` sets another number."""
MISSED = int(os.environ.get("MISSED_BLOCKS", WEEK // 50))


async def count_by_status(stage: Stage, table: sa.Table) -> dict[str, int]:
    async with stage.house.ledger.reading() as tx:
        query = sa.select(table.c.status, sa.func.count()).group_by(table.c.status)
        return {row[0]: row[1] for row in await tx.conn.execute(query)}


HITS = -(-MISSED // 50)
SPEC = ChainSpec(blocks=MISSED, logs_per_block=1, logs_per_hit=50, watched=HITS)
"""A log a block, one in fifty of them a deposit that pays an invoice."""


@pytest.fixture
def books(tmp_path: Path) -> str:
    return sqlite_url(Cache(tmp_path).copy(SPEC.watched, tmp_path, "week.db"))


async def test_f10_many_blocks_missed__killed_on_the_way__whole_with_progress_and_eta(
    books: str,
) -> None:
    """Each process dies after its part of the way."""
    top, cursor, etas, ticks = MISSED - CONFIRMATIONS + 1, 0, list[float](), 0
    with Replay(SPEC) as replay, capture_logs() as told:
        for part in range(1, 5):
            async with open_stage(books, replay.url) as stage:
                while cursor < top * part // 4:
                    result = await stage.watcher.tick()
                    status = stage.watcher.status()
                    assert status.cursor is not None and status.behind is not None
                    assert status.cursor >= cursor and result.blocks <= status.cursor - cursor + 1
                    cursor, ticks = status.cursor, ticks + 1
                    if status.eta_seconds is not None:
                        etas.append(status.eta_seconds)
        async with open_stage(books, replay.url) as stage:
            while (await stage.watcher.tick()).more:
                continue
            status = stage.watcher.status()
            assert (status.cursor, status.behind, status.eta_seconds) == (MISSED, 0, None)
            seen = await count_by_status(stage, payments)
            paid = await count_by_status(stage, invoices)
            async with stage.house.ledger.reading() as tx:
                totals = await all_totals(tx)
    booked = sum(
        t.debits_posted + t.debits_pending
        for ref, t in totals.items()
        if ref.kind is AccountKind.DEPOSITS
    )
    assert sum(seen.values()) == HITS and seen["confirmed"] >= HITS - 1
    assert sum(paid.get(status, 0) for status in ("paid", "processing")) == HITS
    assert booked == HITS * HIT_UNITS
    assert len(etas) > ticks // 2 and min(etas) < max(etas)
    assert "catching_up" in {entry["event"] for entry in told}
    assert ticks < MISSED // 20, "in ranges, not block by block"
