"""Payout runs as operators see them: what was planned, what became of it, what it cost."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import sqlalchemy as sa

from config.errors import NotFoundError
from config.money import format_amount
from ledger.listing import Page, PageQuery, page_of_rows
from ledger.runs import get_run, plans_of, run_payouts
from ledger.schema import batches, payout_runs, transactions
from ledger.sql import chunked
from ledger.store import Tx
from ledger.views import Row, view_payout, view_time

_NATIVE_DECIMALS: Final = 18
_SPENT: Final = ("mined", "final", "reverted")


def view_run(run: Row, plan: Any) -> dict[str, Any]:
    """A run without its payouts.

    :param plan: of :func:`ledger.runs.plans_of`.
    """
    return {
        "id": run["id"],
        "status": run["status"],
        "trigger": run["trigger"],
        "merchant": run["merchant_id"],
        "created_at": view_time(run["created_at"]),
        "finished_at": view_time(run["finished_at"]),
        "plan": plan,
    }


async def list_runs(tx: Tx, asked: PageQuery) -> Page:
    """Runs, newest first."""
    query = sa.select(payout_runs)
    if asked.status is not None:
        query = query.where(payout_runs.c.status == asked.status)
    if asked.created_after is not None:
        query = query.where(payout_runs.c.created_at > asked.created_after)
    rows, cursor = await page_of_rows(tx, query, payout_runs.c.id, asked)
    plans = await plans_of(tx, rows)
    return [view_run(row, plans[row["id"]]) for row in rows], cursor


async def find_run(tx: Tx, run_id: str) -> dict[str, Any]:
    """A run with its payouts as they are now, and the gas that they took so far.

    :raises NotFoundError: no such run.
    """
    run = await get_run(tx, run_id)
    if run is None:
        raise NotFoundError(f"no run {run_id}")
    rows = await run_payouts(tx, run_id)
    return {
        **view_run(run, (await plans_of(tx, [run]))[run_id]),
        "payouts": [view_payout(row, tx.catalogue) for row in rows],
        "gas": await _spent(tx, rows),
    }


async def _spent(tx: Tx, rows: list[Row]) -> list[dict[str, Any]]:
    """Per chain. A batch may carry payouts of several runs: each pays its share, rounded up."""
    mine: dict[int, int] = defaultdict(int)
    for row in rows:
        if row["batch_id"] is not None:
            mine[row["batch_id"]] += 1
    sums: dict[str, dict[str, int]] = {}
    for part in chunked(sorted(mine)):
        query = (
            sa.select(
                batches.c.id,
                batches.c.chain,
                batches.c.size,
                transactions.c.gas_used,
                transactions.c.fee_paid,
            )
            .join(transactions, transactions.c.batch_id == batches.c.id)
            .where(batches.c.id.in_(part), transactions.c.status.in_(_SPENT))
        )
        for found in await tx.conn.execute(query):
            chain = sums.setdefault(found.chain, {"batches": 0, "gas": 0, "wei": 0})
            count = mine[found.id]
            chain["batches"] += 1
            chain["gas"] += -(-(found.gas_used or 0) * count // found.size)
            chain["wei"] += -(-(found.fee_paid or 0) * count // found.size)
    return [
        {
            "chain": name,
            "batches": chain["batches"],
            "gas": chain["gas"],
            "native": format_amount(chain["wei"], _NATIVE_DECIMALS),
        }
        for name, chain in sorted(sums.items())
    ]
