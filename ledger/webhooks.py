"""Webhook endpoints and deliveries in the store.

A delivery is claimed by pushing its ``next_attempt_at`` past a lease and
raising ``attempts``; whoever reports a result names the attempt, so that a
worker that was overtaken changes nothing. The oldest pending delivery of an
(endpoint, object) alone is ever due: that is what keeps the order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from config.errors import NotFoundError
from ledger.bulk import execute
from ledger.outbox import wants
from ledger.schema import events, webhook_deliveries, webhook_endpoints
from ledger.sql import as_row
from ledger.store import Tx
from ledger.views import Row, view_delivery, view_endpoint, view_event


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker is to attempt; secrets still encrypted."""

    id: int
    attempt: int
    endpoint_id: str
    url: str
    secret_encrypted: str
    previous_secret_encrypted: str | None
    event: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """``events`` is ``None`` for all but the flood-prone ones; the secret is encrypted."""

    url: str
    events: tuple[str, ...] | None
    secret_encrypted: str


async def create_endpoint(tx: Tx, merchant_id: str, endpoint_id: str, new: NewEndpoint) -> None:
    """Store an endpoint; its id is the caller's, because the encryption is bound to it."""
    await tx.conn.execute(
        webhook_endpoints.insert().values(
            id=endpoint_id,
            merchant_id=merchant_id,
            url=new.url,
            events=None if new.events is None else list(new.events),
            secret_encrypted=new.secret_encrypted,
            status="enabled",
            created_at=tx.now,
        )
    )


async def count_endpoints(tx: Tx, merchant_id: str) -> int:
    """How many a merchant has, deleted ones left out."""
    query = sa.select(sa.func.count()).where(
        webhook_endpoints.c.merchant_id == merchant_id, webhook_endpoints.c.deleted_at.is_(None)
    )
    return int(await tx.conn.scalar(query) or 0)


async def endpoint_row(tx: Tx, merchant_id: str, endpoint_id: str) -> Row:
    """:raises NotFoundError: no such endpoint of this merchant, or it was deleted."""
    query = sa.select(webhook_endpoints).where(
        webhook_endpoints.c.id == endpoint_id,
        webhook_endpoints.c.merchant_id == merchant_id,
        webhook_endpoints.c.deleted_at.is_(None),
    )
    row = (await tx.conn.execute(query)).first()
    if row is None:
        raise NotFoundError(f"no webhook endpoint {endpoint_id}")
    return as_row(row)


async def list_endpoints(
    tx: Tx, merchant_id: str, *, limit: int, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Endpoints that were not deleted, newest first."""
    table = webhook_endpoints
    query = sa.select(table).where(table.c.merchant_id == merchant_id, table.c.deleted_at.is_(None))
    if cursor is not None:
        query = query.where(table.c.id < cursor)
    rows = (await tx.conn.execute(query.order_by(table.c.id.desc()).limit(limit + 1))).all()
    page = rows[:limit]
    return [view_endpoint(as_row(row)) for row in page], (
        str(page[-1].id) if len(rows) > limit else None
    )


async def rotate_secret(
    tx: Tx, merchant_id: str, endpoint_id: str, secret_encrypted: str, overlap: timedelta
) -> Row:
    """A new secret; the one before goes on signing beside it for ``overlap``.

    :raises NotFoundError: no such endpoint of this merchant.
    """
    row = await endpoint_row(tx, merchant_id, endpoint_id)
    await tx.conn.execute(
        webhook_endpoints.update()
        .where(webhook_endpoints.c.id == endpoint_id)
        .values(
            secret_encrypted=secret_encrypted,
            previous_secret_encrypted=row["secret_encrypted"],
            previous_secret_until=tx.now + overlap,
        )
    )
    return await endpoint_row(tx, merchant_id, endpoint_id)


async def delete_endpoint(tx: Tx, merchant_id: str, endpoint_id: str) -> dict[str, Any]:
    """Deliver nothing there any more.

    :raises NotFoundError: no such endpoint of this merchant.
    """
    row = await endpoint_row(tx, merchant_id, endpoint_id)
    await _give_up(tx, endpoint_id, "the endpoint was deleted")
    await tx.conn.execute(
        webhook_endpoints.update()
        .where(webhook_endpoints.c.id == endpoint_id)
        .values(deleted_at=tx.now)
    )
    return view_endpoint({**row, "deleted_at": tx.now})


async def disable_endpoint(tx: Tx, endpoint_id: str, reason: str) -> None:
    """The endpoint said that it is gone: stop, and let its deliveries be seen as dead."""
    await _give_up(tx, endpoint_id, reason)
    await tx.conn.execute(
        webhook_endpoints.update()
        .where(webhook_endpoints.c.id == endpoint_id)
        .values(status="disabled", reason=reason)
    )


async def lock_endpoint(tx: Tx, endpoint_id: str) -> None:
    """Take the endpoint's row before several of its deliveries: two that give it up at once
    would otherwise wait for each other's.
    """
    table = webhook_endpoints
    await tx.conn.execute(sa.select(table.c.id).where(table.c.id == endpoint_id).with_for_update())


async def _give_up(tx: Tx, endpoint_id: str, reason: str) -> None:
    await lock_endpoint(tx, endpoint_id)
    await tx.conn.execute(
        webhook_deliveries.update()
        .where(
            webhook_deliveries.c.endpoint_id == endpoint_id,
            webhook_deliveries.c.status == "pending",
        )
        .values(status="dead", error=reason)
    )


async def list_deliveries(
    tx: Tx,
    merchant_id: str,
    endpoint_id: str,
    *,
    limit: int,
    before: int | None,
    status: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Deliveries to one endpoint, newest first.

    :raises NotFoundError: no such endpoint of this merchant.
    """
    await endpoint_row(tx, merchant_id, endpoint_id)
    table = webhook_deliveries
    query = _with_event().where(table.c.endpoint_id == endpoint_id)
    if before is not None:
        query = query.where(table.c.id < before)
    if status is not None:
        query = query.where(table.c.status == status)
    rows = (await tx.conn.execute(query.order_by(table.c.id.desc()).limit(limit + 1))).all()
    page = rows[:limit]
    return [view_delivery(as_row(row)) for row in page], (
        f"del_{page[-1].id}" if len(rows) > limit else None
    )


def _with_event() -> sa.Select[Any]:
    return sa.select(webhook_deliveries, events.c.id.label("event_id"), events.c.type).join(
        events, events.c.seq == webhook_deliveries.c.event_seq
    )


async def redeliver(tx: Tx, merchant_id: str, event_id: str) -> list[dict[str, Any]]:
    """Send an event once more to every enabled endpoint that wants its type.

    One that is still on its way there is tried at once instead.

    :raises NotFoundError: no such event of this merchant.
    """
    query = sa.select(events).where(events.c.id == event_id, events.c.merchant_id == merchant_id)
    event = (await tx.conn.execute(query)).first()
    if event is None:
        raise NotFoundError(f"no event {event_id}")
    table = webhook_deliveries
    where = (table.c.event_seq == event.seq, table.c.status == "pending")
    await tx.conn.execute(table.update().where(*where).values(next_attempt_at=tx.now))
    under_way = set((await tx.conn.execute(sa.select(table.c.endpoint_id).where(*where))).scalars())
    endpoints = sa.select(webhook_endpoints).where(
        webhook_endpoints.c.merchant_id == merchant_id,
        webhook_endpoints.c.status == "enabled",
        webhook_endpoints.c.deleted_at.is_(None),
    )
    missing = [
        {
            "endpoint_id": endpoint.id,
            "event_seq": event.seq,
            "object_id": event.object_id,
            "status": "pending",
            "attempts": 0,
            "next_attempt_at": tx.now,
            "created_at": tx.now,
        }
        for endpoint in await tx.conn.execute(endpoints)
        if endpoint.id not in under_way
        and wants(None if endpoint.events is None else frozenset(endpoint.events), event.type)
    ]
    if missing:
        await tx.conn.execute(table.insert(), missing)
    found = await tx.conn.execute(_with_event().where(*where).order_by(table.c.id))
    return [view_delivery(as_row(row)) for row in found]


_DUE_ENDPOINTS: Final = (
    sa.select(webhook_deliveries.c.endpoint_id)
    .where(
        webhook_deliveries.c.status == sa.text("'pending'"),
        webhook_deliveries.c.next_attempt_at <= sa.bindparam("by"),
    )
    .distinct()
)


async def due_endpoints(tx: Tx) -> list[str]:
    """Endpoints to which something is due now."""
    return sorted(row["endpoint_id"] for row in await execute(tx, _DUE_ENDPOINTS, by=tx.now))


async def claim_deliveries(
    tx: Tx, endpoint_id: str, *, limit: int, lease: timedelta
) -> list[Claimed]:
    """Take up to ``limit`` due deliveries of an endpoint for the length of a lease."""
    endpoint = (
        await tx.conn.execute(
            sa.select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)
        )
    ).one()
    if endpoint.deleted_at is not None or endpoint.status != "enabled":
        # Written by a transaction that began before the endpoint went away.
        await _give_up(tx, endpoint_id, endpoint.reason or "the endpoint was deleted")
        return []
    table, earlier = webhook_deliveries, webhook_deliveries.alias("earlier")
    older = sa.exists().where(
        earlier.c.endpoint_id == table.c.endpoint_id,
        earlier.c.object_id == table.c.object_id,
        earlier.c.status == "pending",
        earlier.c.id < table.c.id,
    )
    query = (
        sa.select(table)
        .where(
            table.c.endpoint_id == endpoint_id,
            table.c.status == "pending",
            table.c.next_attempt_at <= tx.now,
            ~older,
        )
        .order_by(table.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.conn.execute(query)).all()
    if not rows:
        return []
    await tx.conn.execute(
        table.update()
        .where(table.c.id.in_([row.id for row in rows]))
        .values(attempts=table.c.attempts + 1, next_attempt_at=tx.now + lease)
    )
    told = await _events(tx, [row.event_seq for row in rows])
    overlap = endpoint.previous_secret_until is not None and endpoint.previous_secret_until > tx.now
    return [
        Claimed(
            id=row.id,
            attempt=row.attempts + 1,
            endpoint_id=endpoint_id,
            url=endpoint.url,
            secret_encrypted=endpoint.secret_encrypted,
            previous_secret_encrypted=endpoint.previous_secret_encrypted if overlap else None,
            event=told[row.event_seq],
            created_at=row.created_at,
        )
        for row in rows
    ]


async def _events(tx: Tx, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
    query = sa.select(events).where(events.c.seq.in_(numbers))
    return {row.seq: view_event(as_row(row)) for row in await tx.conn.execute(query)}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt; ``retry_at`` is ``None`` when there will be no other."""

    delivered: bool
    response_status: int | None = None
    error: str | None = None
    retry_at: datetime | None = None


async def record_results(tx: Tx, results: Mapping[tuple[int, int], Result]) -> set[int]:
    """Write down what came of attempts, given by (delivery id, attempt).

    :return: ids of the deliveries whose claim had not been lost.
    """
    alike: dict[tuple[int, Result], list[int]] = defaultdict(list)
    for (delivery_id, attempt), result in results.items():
        alike[attempt, result].append(delivery_id)
    table = webhook_deliveries
    held: set[int] = set()
    for (attempt, result), ids in alike.items():
        changed = await tx.conn.execute(
            table.update()
            .where(table.c.id.in_(ids), table.c.attempts == attempt, table.c.status == "pending")
            .values(**_values(result, tx.now))
            .returning(table.c.id)
        )
        held.update(changed.scalars())
    return held


def _values(result: Result, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"response_status": result.response_status, "error": result.error}
    if result.delivered:
        values |= {"status": "delivered", "delivered_at": now}
    elif result.retry_at is None:
        values["status"] = "dead"
    else:
        values["next_attempt_at"] = result.retry_at
    return values


async def oldest_pending(tx: Tx) -> datetime | None:
    """When the delivery that has waited longest was written."""
    table = webhook_deliveries
    query = sa.select(table.c.created_at).where(table.c.status == "pending").order_by(table.c.id)
    found: datetime | None = await tx.conn.scalar(query.limit(1))
    return found
