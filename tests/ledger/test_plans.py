"""What is asked every second or tick reads an index, however much history there is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from ledger.attempts import committed_wei, open_attempts
from ledger.audit import deposit_holders, ignored_amounts, physical_totals
from ledger.batches import open_batches, topped_up
from ledger.deliveries import due_endpoints
from ledger.driver import Driver, Rows, Step
from ledger.holds import open_places
from ledger.lane_state import read_lane_state
from ledger.payouts import queued_payouts
from ledger.runs import due_merchants, planned_runs_over, planning_goes_on, requested_runs
from ledger.store import Tx
from ledger.sweeps import pending_sweeps
from ledger.waiting import what_waits
from tests.support.books import USDC, Books

GROWS = (
    "payments",
    "payouts",
    "sweep_items",
    "transactions",
    "batches",
    "payout_runs",
    "merchants",
)
"""Tables of which no row is ever deleted, and that none of these may read from end to end."""
LOOKED_AT = (*GROWS, "holds", "blocks", "webhook_deliveries")


async def every_second(tx: Tx) -> None:
    await planned_runs_over(tx)
    await requested_runs(tx, 200)
    await due_merchants(tx, 200)
    await planning_goes_on(tx)
    await due_endpoints(tx)


async def every_tick(tx: Tx) -> None:
    await what_waits(tx, "anvil", ["USDC", "USDT"], "token is paused")
    await read_lane_state(tx, "anvil", "payouts", "payouts")
    await open_places(tx, "batch", "anvil/")
    await committed_wei(tx, "anvil", USDC)
    await pending_sweeps(tx, "anvil")
    await queued_payouts(tx, "anvil", 5_000)


async def every_minute(tx: Tx) -> None:
    await physical_totals(tx, "anvil")
    await ignored_amounts(tx, "anvil")
    await deposit_holders(tx, "anvil", 500)
    await open_attempts(tx, "anvil")
    await open_batches(tx, "anvil")
    await topped_up(tx, "anvil")


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ask", [every_second, every_tick, every_minute])
async def test_asked_all_the_time__no_table_is_read_from_end_to_end(
    books: Books, monkeypatch: pytest.MonkeyPatch, ask: object
) -> None:
    asked: list[Step] = []
    whole = Driver.fetch_all

    async def spied(driver: Driver, steps: Sequence[Step]) -> list[Rows]:
        asked.extend(steps)
        return await whole(driver, steps)

    def note(_c: object, _cursor: object, sql: str, values: object, *_rest: object) -> None:
        asked.append((sql, values))  # type: ignore[arg-type]

    monkeypatch.setattr(Driver, "fetch_all", spied)
    sa.event.listen(books.ledger.engine.sync_engine, "before_cursor_execute", note)
    async with books.ledger.transaction() as tx:
        await ask(tx)  # type: ignore[operator]
        assert asked
        for sql, values in asked:
            if not sql.lstrip().upper().startswith(("SELECT", "WITH")):
                continue
            (lines,) = await whole(tx.driver, [(f"EXPLAIN QUERY PLAN {sql}", values)])
            for line in lines:
                assert not _reads_all(sql, str(line[3])), (sql, line[3])


def _reads_all(sql: str, step: str) -> bool:
    """Whether a step of a plan goes through a table, or through all that a chain has in it."""
    words = step.split()
    if words[0] not in {"SCAN", "SEARCH"} or words[1] not in LOOKED_AT:
        return False
    if words[0] == "SCAN":
        newest = "LIMIT" in sql and "ORDER BY payments.id DESC" in sql
        return not (newest and step.endswith("sqlite_autoindex_payments_1"))
    return "autoindex" in step and step.endswith("(chain=?)")
