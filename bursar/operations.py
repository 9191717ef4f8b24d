"""What the API lets operators ask of settlement, carried out over the books."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bursar.costing import cost_of
from chain.client import ChainClient
from config.errors import InvalidInputError
from ledger import pauses
from ledger.holds import release_hold
from ledger.invoices import Tolerance
from ledger.payment_rows import PaymentPolicy
from ledger.store import Ledger, Tx
from ledger.views import view_time
from settlement.plan_view import view_costs, view_plan
from settlement.runs import PayoutRuns, request_run


class Operations:
    """A :class:`gateway.deps.Operations`: requests become rows that a running settlement reads."""

    def __init__(
        self,
        ledger: Ledger,
        runs: PayoutRuns,
        *,
        policy: PaymentPolicy,
        tolerance: Tolerance,
        chains: Mapping[str, ChainClient],
        max_batch: int,
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._policy = policy
        self._tolerance = tolerance
        self._chains = chains
        self._max_batch = max_batch

    async def request_run(self, tx: Tx, merchant_id: str | None) -> dict[str, Any]:
        run_id = await request_run(tx, merchant_id, "api")
        return {
            "id": run_id,
            "status": "requested",
            "merchant": merchant_id,
            "created_at": view_time(tx.now),
        }

    async def preview(self, merchant_id: str | None) -> dict[str, Any]:
        plan = await self._runs.preview(merchant_id)
        costs = await cost_of(plan, self._chains, self._max_batch)
        return {**view_plan(plan, self._ledger.catalogue), "gas": view_costs(costs)}

    async def pause(self, tx: Tx, what: str, chain: str | None, reason: str | None) -> None:
        await pauses.pause(tx, pauses.scope_of(_what(what), chain), reason)

    async def resume(self, tx: Tx, what: str, chain: str | None) -> None:
        await pauses.resume(tx, pauses.scope_of(_what(what), chain))

    async def pauses(self, tx: Tx) -> list[dict[str, Any]]:
        return [
            {"scope": p.scope, "since": view_time(p.since), "reason": p.reason}
            for p in await pauses.active_pauses(tx)
        ]

    async def release_hold(self, tx: Tx, hold_id: str) -> None:
        await release_hold(tx, hold_id, policy=self._policy, tolerance=self._tolerance)


def _what(text: str) -> pauses.What:
    for known in pauses.SCOPES:
        if known == text:
            return known
    raise InvalidInputError("must be all, payouts or sweeps", where="only")
