"""Webhook endpoints, and what was and will be sent to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from config.errors import NotFoundError
from ledger.outbox import wants
from ledger.replaced_secrets import Replaced, columns_of, still_signing
from ledger.schema import events, webhook_deliveries, webhook_endpoints
from ledger.sql import as_row
from ledger.store import Tx
from ledger.views import Row, view_delivery, view_endpoint


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


async def sealed_secrets(tx: Tx, limit: int = 1_000) -> list[tuple[str, str]]:
    """Id and encrypted secret of endpoints in use, of all merchants, the newest ones."""
    table = webhook_endpoints
    query = sa.select(table.c.id, table.c.secret_encrypted).where(
        table.c.deleted_at.is_(None), table.c.status == "enabled"
    )
    found = await tx.conn.execute(query.order_by(table.c.id.desc()).limit(limit))
    return [(row.id, row.secret_encrypted) for row in found]


async def rotate_secret(
    tx: Tx, merchant_id: str, endpoint_id: str, secret_encrypted: str, overlap: timedelta
) -> Row:
    """A new secret; those before go on signing beside it, each for ``overlap``.

    :raises NotFoundError: no such endpoint of this merchant.
    """
    await lock_endpoint(tx, endpoint_id)
    row = await endpoint_row(tx, merchant_id, endpoint_id)
    before = still_signing(row["previous_secret_encrypted"], row["previous_secret_until"], tx.now)
    kept = [Replaced(row["secret_encrypted"], tx.now + overlap), *before]
    await tx.conn.execute(
        webhook_endpoints.update()
        .where(webhook_endpoints.c.id == endpoint_id)
        .values(secret_encrypted=secret_encrypted, **columns_of(kept))
    )
    return await endpoint_row(tx, merchant_id, endpoint_id)


async def delete_endpoint(tx: Tx, merchant_id: str, endpoint_id: str) -> dict[str, Any]:
    """Deliver nothing there any more.

    :raises NotFoundError: no such endpoint of this merchant.
    """
    row = await endpoint_row(tx, merchant_id, endpoint_id)
    await give_up(tx, endpoint_id, "the endpoint was deleted")
    await tx.conn.execute(
        webhook_endpoints.update()
        .where(webhook_endpoints.c.id == endpoint_id)
        .values(deleted_at=tx.now)
    )
    return view_endpoint({**row, "deleted_at": tx.now})


async def disable_endpoint(tx: Tx, endpoint_id: str, reason: str) -> None:
    """The endpoint said that it is gone: stop, and let its deliveries be seen as dead."""
    await give_up(tx, endpoint_id, reason)
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


async def give_up(tx: Tx, endpoint_id: str, reason: str) -> None:
    """Nothing that waits for an endpoint is sent any more; it is seen as dead."""
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


async def oldest_pending(tx: Tx) -> datetime | None:
    """When the delivery that has waited longest was written."""
    table = webhook_deliveries
    query = sa.select(table.c.created_at).where(table.c.status == "pending").order_by(table.c.id)
    found: datetime | None = await tx.conn.scalar(query.limit(1))
    return found
