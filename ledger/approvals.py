"""What waits for a second person: payout addresses, refunds, large payouts.

Whoever asks is a merchant, a schedule or the admin; whoever approves has another
key. Each decision is written to the audit log in the commit that carries it out.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError, NotFoundError
from ledger.decisions import record_decision
from ledger.outbox import NewEvent, emit
from ledger.payouts import PayoutMove, lock_payouts, move_payouts
from ledger.schema import payout_destinations, payouts
from ledger.sql import as_row
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import view_destination, view_payout, view_time

PENDING: Final = "pending_approval"
REJECTED: Final = "rejected by the approver"
_MOST: Final = 1_000
"""Shown at once: more than that is not waited for by a person."""


async def pending_approvals(tx: Tx) -> list[dict[str, Any]]:
    """Everything that waits for the approver, oldest first."""
    found: list[dict[str, Any]] = []
    query = sa.select(payout_destinations).where(payout_destinations.c.status == PENDING)
    for row in await tx.conn.execute(query.order_by(payout_destinations.c.id).limit(_MOST)):
        view = view_destination(as_row(row), tx.now)
        found.append(_view("payout_destination", row.merchant_id, row.created_at, view))
    # With a date it waits for time alone.
    waiting = sa.select(payouts).where(payouts.c.status == PENDING, payouts.c.not_before.is_(None))
    for row in await tx.conn.execute(waiting.order_by(payouts.c.id).limit(_MOST)):
        kind = "refund" if row.kind == "refund" else "payout"
        view = view_payout(as_row(row), tx.catalogue)
        found.append(_view(kind, row.merchant_id, row.created_at, view))
    return sorted(found, key=lambda item: (str(item["since"]), str(item["id"])))


def _view(kind: str, merchant_id: str, since: Any, view: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": view["id"],
        "kind": kind,
        "merchant": merchant_id,
        "since": view_time(since),
        "object": view,
    }


async def decide(tx: Tx, object_id: str, *, approve: bool, actor: str) -> dict[str, Any]:
    """Approve or reject; returns the object as it is now.

    A rejected payout is canceled: its money is available again, and planned anew
    with the next run.

    :param actor: who decided, for the audit log; never a key.
    :raises NotFoundError: no such object.
    :raises ConflictError: it does not wait for approval.
    """
    if object_id.startswith("pd_"):
        view = await _decide_destination(tx, object_id, approve=approve)
    else:
        view = await _decide_payout(tx, object_id, approve=approve)
    action = "approve" if approve else "reject"
    await record_decision(tx, actor, action, object_id, {"status": view["status"]})
    return view


async def _decide_destination(tx: Tx, destination_id: str, *, approve: bool) -> dict[str, Any]:
    table = payout_destinations
    query = sa.select(table).where(table.c.id == destination_id).with_for_update()
    row = (await tx.conn.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"no payout destination {destination_id}")
    _require_pending(row.status)
    values: dict[str, Any] = (
        {"status": "active", "active_at": tx.now}
        if approve
        else {"status": "revoked", "revoked_at": tx.now}
    )
    await tx.conn.execute(table.update().where(table.c.id == destination_id).values(values))
    view = view_destination({**as_row(row), **values}, tx.now)
    told = "destination.approved" if approve else "destination.revoked"
    await emit(tx, [NewEvent(row.merchant_id, told, destination_id, view)])
    return view


async def _decide_payout(tx: Tx, payout_id: str, *, approve: bool) -> dict[str, Any]:
    rows = await lock_payouts(tx, [payout_id])
    if not rows:
        raise NotFoundError(f"no payout {payout_id}")
    _require_pending(rows[0]["status"])
    if rows[0]["not_before"] is not None and approve:
        raise ConflictError("waits for its cooling-off time, not for an approval")
    move = (
        PayoutMove(rows[0], PayoutStatus.QUEUED)
        if approve
        else PayoutMove(rows[0], PayoutStatus.CANCELED, REJECTED)
    )
    await move_payouts(tx, [move])
    (row,) = await lock_payouts(tx, [payout_id])
    return view_payout(row, tx.catalogue)


def _require_pending(status: str) -> None:
    if status != PENDING:
        raise ConflictError(f"does not wait for approval: it is {status}")
