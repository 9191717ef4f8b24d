"""What the API lets operators ask of settlement, carried out over the books."""

from __future__ import annotations

from typing import Any, Final

from bursar.costing import Quotes, cost_of
from bursar.recent import Recent
from config.errors import InvalidInputError
from ledger import pauses
from ledger.decisions import record_decision
from ledger.holds import release_hold
from ledger.invoices import Tolerance
from ledger.payment_rows import PaymentPolicy
from ledger.store import Ledger, Tx
from ledger.views import view_time
from settlement.plan_view import view_costs, view_plan
from settlement.runs import PayoutRuns, request_run

ACTOR: Final = "admin"
PREVIEW_SECONDS: Final = 5.0
"""How long a merchant's preview is given again: it reads his payments of the last months."""
PREVIEW_SHARE: Final = 20
"""A merchant who asks on and on takes at most a twentieth of the time."""


class Operations:
    """A :class:`gateway.deps.Operations`: requests become rows that a running settlement reads."""

    def __init__(
        self,
        ledger: Ledger,
        runs: PayoutRuns,
        *,
        policy: PaymentPolicy,
        tolerance: Tolerance,
        quotes: Quotes,
        max_batch: int,
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._policy = policy
        self._tolerance = tolerance
        self._quotes = quotes
        self._max_batch = max_batch
        self._previews = Recent(
            self._preview, ledger.clock, seconds=PREVIEW_SECONDS, share=PREVIEW_SHARE
        )

    async def request_run(self, tx: Tx, merchant_id: str | None) -> dict[str, Any]:
        run_id = await request_run(tx, merchant_id, "api")
        return {
            "id": run_id,
            "status": "requested",
            "merchant": merchant_id,
            "created_at": view_time(tx.now),
        }

    async def preview(self, merchant_id: str | None) -> dict[str, Any]:
        return await (
            self._preview(None) if merchant_id is None else self._previews.get(merchant_id)
        )

    async def _preview(self, merchant_id: str | None) -> dict[str, Any]:
        plan = await self._runs.preview(merchant_id)
        costs = await cost_of(plan, self._quotes, self._max_batch)
        return {**view_plan(plan, self._ledger.catalogue), "gas": view_costs(costs)}

    async def pause(self, tx: Tx, what: str, chain: str | None, reason: str | None) -> None:
        scope = pauses.scope_of(_what(what), chain)
        await pauses.pause(tx, scope, reason)
        await record_decision(tx, ACTOR, "pause", scope, {"reason": reason})

    async def resume(self, tx: Tx, what: str, chain: str | None) -> None:
        scope = pauses.scope_of(_what(what), chain)
        gone = await pauses.resume(tx, scope)
        await record_decision(tx, ACTOR, "resume", scope, {"scopes": gone})

    async def pauses(self, tx: Tx) -> list[dict[str, Any]]:
        return [
            {"scope": p.scope, "since": view_time(p.since), "reason": p.reason}
            for p in await pauses.active_pauses(tx)
        ]

    async def release_hold(self, tx: Tx, hold_id: str) -> None:
        hold = await release_hold(tx, hold_id, policy=self._policy, tolerance=self._tolerance)
        detail = {"hold": hold.id, "reason": hold.reason}
        await record_decision(tx, ACTOR, "release", hold.object_id, detail)


def _what(text: str) -> pauses.What:
    for known in pauses.SCOPES:
        if known == text:
            return known
    raise InvalidInputError("must be all, payouts or sweeps", where="only")
