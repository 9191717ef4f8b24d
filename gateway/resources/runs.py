"""Settlement runs, before and after."""

from __future__ import annotations

from typing import Final

from gateway import answers
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import RunPage
from ledger.run_views import find_run, list_runs


async def list_all(call: Call) -> JsonObject:
    """Runs with their plans, newest first."""
    async with call.deps.ledger.reading() as tx:
        data, cursor = await list_runs(tx, call.asked(RunPage).asked())
    return {"data": data, "next_cursor": cursor}


async def get(call: Call) -> JsonObject:
    """One run, its payouts as they are now, and the gas that they took."""
    async with call.deps.ledger.reading() as tx:
        return await find_run(tx, call.path_id("run"))


_PATH: Final = "/v1/admin/payouts/runs"
OPERATIONS: Final = (
    Operation(
        "listRuns",
        "GET",
        _PATH,
        "admin",
        "List settlement runs",
        "operations",
        answers.Run,
        read=list_all,
        many=True,
        query=RunPage,
    ),
    Operation(
        "getRun",
        "GET",
        _PATH + "/{id}",
        "admin",
        "One settlement run: plan, payouts, gas",
        "operations",
        answers.Run,
        read=get,
    ),
)
