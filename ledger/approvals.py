"""What waits for a second person: payout addresses, refunds, large payouts.

Whoever asks is a merchant, a schedule or the admin; whoever approves has another
key. Each decision is written to the audit log in the commit that carries it out.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError, NotFoundError
from ledger.decisions import record_decision
from ledger.listing import Page, PageQuery
from ledger.outbox import NewEvent, emit
from ledger.payouts import PayoutMove, lock_payouts, move_payouts
from ledger.schema import payout_destinations, payouts
from ledger.sql import as_row
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row, view_destination, view_payout, view_time

PENDING: Final = "pending_approval"
REJECTED: Final = "rejected by the approver"


async def pending_approvals(tx: Tx, asked: PageQuery) -> Page:
    """What waits for the approver, oldest first: a page, and the cursor of the next.

    However many one merchant lets wait, all others' are in one of the pages.
    """
    found: list[dict[str, Any]] = []
    destinations = sa.select(payout_destinations).where(payout_destinations.c.status == PENDING)
    for row in await _oldest(tx, destinations, payout_destinations, "pd", asked):
        view = view_destination(row, tx.now)
        found.append(_view("payout_destination", row, view))
    # With a date it waits for time alone.
    waiting = sa.select(payouts).where(payouts.c.status == PENDING, payouts.c.not_before.is_(None))
    for row in await _oldest(tx, waiting, payouts, "po", asked):
        kind = "refund" if row["kind"] == "refund" else "payout"
        found.append(_view(kind, row, view_payout(row, tx.catalogue)))
    found.sort(key=lambda item: _moment(item["id"]))
    page = found[: asked.limit]
    return page, page[-1]["id"] if len(found) > len(page) else None


async def _oldest(
    tx: Tx, query: sa.Select[Any], table: sa.Table, prefix: str, asked: PageQuery
) -> list[Row]:
    """One more of them than a page holds."""
    if asked.cursor is not None:
        query = query.where(table.c.id > f"{prefix}_{_moment(asked.cursor)}")
    if asked.created_after is not None:
        query = query.where(table.c.created_at > asked.created_after)
    query = query.order_by(table.c.id).limit(asked.limit + 1)
    return [as_row(row) for row in await tx.conn.execute(query)]


def _moment(object_id: str) -> str:
    """An id without its kind: all kinds are in one order by it, that of time."""
    return object_id.partition("_")[2]


def _view(kind: str, row: Row, view: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": view["id"],
        "kind": kind,
        "merchant": row["merchant_id"],
        "since": view_time(row["created_at"]),
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
