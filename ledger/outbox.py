"""The outbox: events written in the transaction of the change that they tell of.

Each event is fanned out to the merchant's enabled endpoints in the same
commit, so that delivery needs no cursor over events, and no event can be
overtaken by one that committed later with a lower number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct

from ledger.bulk import insert_rows, select_in
from ledger.schema import events, webhook_deliveries, webhook_endpoints
from ledger.store import Tx

EVENT_TYPES: Final = (
    "invoice.created",
    "invoice.partially_paid",
    "invoice.processing",
    "invoice.paid",
    "invoice.expired",
    "invoice.canceled",
    "invoice.exception",
    "payment.detected",
    "payment.confirmed",
    "payment.orphaned",
    "payment.reversed",
    "payment.ignored",
    "payout.queued",
    "payout.submitted",
    "payout.paid",
    "payout.on_hold",
    "payout.failed",
    "refund.created",
    "refund.paid",
    "refund.failed",
    "statement.ready",
    "destination.created",
    "destination.approved",
    "destination.revoked",
)
BY_REQUEST_ONLY: Final = frozenset({"payment.ignored"})
"""Types that an endpoint gets only if it names them: dust must not become a flood."""

_ENDPOINTS: Final = sa.select(
    webhook_endpoints.c.id, webhook_endpoints.c.merchant_id, webhook_endpoints.c.events
).where(
    webhook_endpoints.c.status == sa.bindparam("enabled"),
    webhook_endpoints.c.deleted_at.is_(None),
)
_NUMBERS: Final = sa.select(events.c.id, events.c.seq)


class NewEvent(Struct, frozen=True):
    """``data`` is the object as its GET gives it at this moment."""

    merchant_id: str
    type: str
    object_id: str
    data: dict[str, Any]


async def emit(tx: Tx, new: Sequence[NewEvent]) -> None:
    """Append events, in this order, and a delivery for each endpoint that wants one."""
    if not new:
        return
    assert all(event.type in EVENT_TYPES for event in new)
    endpoints = await _endpoints(tx, sorted({event.merchant_id for event in new}))
    rows = [
        {
            "id": event_id,
            "merchant_id": event.merchant_id,
            "type": event.type,
            "object_id": event.object_id,
            "data": event.data,
            "created_at": tx.now,
        }
        for event_id, event in zip(tx.new_ids("evt", len(new)), new, strict=True)
    ]
    insert_rows(tx, events, rows)
    if not endpoints:
        return
    wanted = [row for row in rows if row["merchant_id"] in endpoints]
    numbers = await _numbers(tx, [str(row["id"]) for row in wanted])
    deliveries = [
        {
            "endpoint_id": endpoint_id,
            "event_seq": numbers[str(row["id"])],
            "object_id": row["object_id"],
            "status": "pending",
            "attempts": 0,
            "next_attempt_at": tx.now,
            "created_at": tx.now,
        }
        for row in wanted
        for endpoint_id, types in endpoints[str(row["merchant_id"])]
        if wants(types, str(row["type"]))
    ]
    insert_rows(tx, webhook_deliveries, deliveries)


def wants(types: frozenset[str] | None, event_type: str) -> bool:
    if types is None:
        return event_type not in BY_REQUEST_ONLY
    return event_type in types


async def _endpoints(
    tx: Tx, merchant_ids: Sequence[str]
) -> dict[str, list[tuple[str, frozenset[str] | None]]]:
    """Enabled endpoints by merchant, asked for once in a transaction."""
    asked: dict[str, list[tuple[str, frozenset[str] | None]]]
    asked = tx.asked.setdefault(webhook_endpoints, {})
    new = [merchant_id for merchant_id in merchant_ids if merchant_id not in asked]
    asked.update((merchant_id, []) for merchant_id in new)
    merchant = webhook_endpoints.c.merchant_id
    for row in await select_in(tx, _ENDPOINTS, merchant, new, {"enabled": "enabled"}):
        types = None if row["events"] is None else frozenset(row["events"])
        asked[row["merchant_id"]].append((row["id"], types))
    return {merchant_id: asked[merchant_id] for merchant_id in merchant_ids if asked[merchant_id]}


async def _numbers(tx: Tx, ids: Sequence[str]) -> dict[str, int]:
    return {row["id"]: row["seq"] for row in await select_in(tx, _NUMBERS, events.c.id, ids)}
