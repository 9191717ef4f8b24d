"""Webhook deliveries on their way: claimed, tried, and what came of it.

A delivery is claimed by pushing its ``next_attempt_at`` past a lease and
raising ``attempts``; whoever reports a result names the attempt, so that a
worker that was overtaken changes nothing. The oldest pending delivery of an
(endpoint, object) alone is ever sent: that is what keeps the order. Those
behind it are put off until it is tried again, and woken when it is over: an
endpoint that is dead for days must not have all that waits for it looked at
four times a second. Claims and results lock their endpoints first, in the order
of their ids, so that none is put off for one that is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from ledger.bulk import execute
from ledger.replaced_secrets import still_signing
from ledger.schema import events, webhook_deliveries, webhook_endpoints
from ledger.sql import as_row
from ledger.store import Tx
from ledger.views import view_event
from ledger.webhooks import give_up

LOOKED_AT: Final = 1_000
"""Deliveries looked at, beyond those that are taken, to find some that wait for no other."""
_PENDING: Final[sa.ColumnElement[Any]] = sa.literal_column("'pending'")
"""Spelled out, as the partial indexes have it."""
_EARLIER: Final = webhook_deliveries.alias("earlier")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker is to attempt; secrets still encrypted."""

    id: int
    attempt: int
    endpoint_id: str
    url: str
    secret_encrypted: str
    replaced_secrets: tuple[str, ...]
    event: dict[str, Any]
    created_at: datetime


_DUE_ENDPOINTS: Final = (
    # An expression, or SQLite would read all that waits in the order of endpoints.
    sa.select((webhook_deliveries.c.endpoint_id + sa.literal_column("''")).label("endpoint_id"))
    .where(
        webhook_deliveries.c.status == sa.text("'pending'"),
        webhook_deliveries.c.next_attempt_at <= sa.bindparam("by"),
    )
    .distinct()
)


async def due_endpoints(tx: Tx) -> list[str]:
    """Endpoints to which something is due now."""
    return sorted(row["endpoint_id"] for row in await execute(tx, _DUE_ENDPOINTS, by=tx.now))


async def lock_endpoints(tx: Tx, endpoint_ids: Iterable[str]) -> None:
    """Before results of their deliveries; whoever writes new deliveries does not wait."""
    table = webhook_endpoints
    query = sa.select(table.c.id).where(table.c.id.in_(sorted(set(endpoint_ids))))
    await tx.conn.execute(query.order_by(table.c.id).with_for_update(key_share=True))


async def claim_deliveries(
    tx: Tx, endpoint_id: str, *, limit: int, lease: timedelta
) -> list[Claimed]:
    """Take up to ``limit`` due deliveries of an endpoint for the length of a lease.

    Of several endpoints in one transaction: in the order of their ids.
    """
    asked = sa.select(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id)
    endpoint = (await tx.conn.execute(asked.with_for_update(key_share=True))).one()
    if endpoint.deleted_at is not None or endpoint.status != "enabled":
        # Written by a transaction that began before the endpoint went away.
        await give_up(tx, endpoint_id, endpoint.reason or "the endpoint was deleted")
        return []
    table = webhook_deliveries
    query = (
        sa.select(table, _earlier(table, sa.literal(1)).exists().label("waits"))
        .where(
            table.c.endpoint_id == endpoint_id,
            table.c.status == _PENDING,
            table.c.next_attempt_at <= tx.now,
        )
        .order_by(table.c.id)
        .limit(limit + LOOKED_AT)
        .with_for_update(skip_locked=True, of=table)
    )
    due = (await tx.conn.execute(query)).all()
    rows = [row for row in due if not row.waits][:limit]
    if rows:
        await tx.conn.execute(
            table.update()
            .where(table.c.id.in_([row.id for row in rows]))
            .values(attempts=table.c.attempts + 1, next_attempt_at=tx.now + lease)
        )
    await _put_off(tx, [row.id for row in due if row.waits])
    told = await _events(tx, [row.event_seq for row in rows]) if rows else {}
    replaced = still_signing(
        endpoint.previous_secret_encrypted, endpoint.previous_secret_until, tx.now
    )
    return [
        Claimed(
            id=row.id,
            attempt=row.attempts + 1,
            endpoint_id=endpoint_id,
            url=endpoint.url,
            secret_encrypted=endpoint.secret_encrypted,
            replaced_secrets=tuple(one.sealed for one in replaced),
            event=told[row.event_seq],
            created_at=row.created_at,
        )
        for row in rows
    ]


def _earlier(table: sa.Table, what: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """``what`` of the pending deliveries that one waits for; they are called ``earlier``."""
    return sa.select(what).where(
        _EARLIER.c.endpoint_id == table.c.endpoint_id,
        _EARLIER.c.object_id == table.c.object_id,
        _EARLIER.c.status == _PENDING,
        _EARLIER.c.id < table.c.id,
    )


async def _put_off(tx: Tx, waiting: Sequence[int]) -> None:
    """These are looked at again when what they wait for is tried again."""
    if waiting:
        table = webhook_deliveries
        again = _earlier(table, sa.func.max(_EARLIER.c.next_attempt_at)).scalar_subquery()
        await tx.conn.execute(
            table.update()
            .where(table.c.id.in_(waiting))
            .values(next_attempt_at=sa.func.coalesce(again, tx.now))
        )


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

    Their endpoints are locked before (:func:`lock_endpoints`).

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
        mine = list(changed.scalars())
        held.update(mine)
        if result.retry_at is None:
            await _wake(tx, mine)
    return held


async def _wake(tx: Tx, over: Sequence[int]) -> None:
    """What was put off until these are over is due now."""
    if not over:
        return
    table, done = webhook_deliveries, webhook_deliveries.alias("done")
    same = (done.c.endpoint_id == table.c.endpoint_id) & (done.c.object_id == table.c.object_id)
    waits = (table.c.status == _PENDING) & (table.c.next_attempt_at > tx.now)
    behind = sa.select(table.c.id).join(done, same).where(done.c.id.in_(over), waits)
    await tx.conn.execute(
        table.update()
        .where(table.c.id.in_(behind), table.c.attempts == 0)
        .values(next_attempt_at=tx.now)
    )


def _values(result: Result, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"response_status": result.response_status, "error": result.error}
    if result.delivered:
        values |= {"status": "delivered", "delivered_at": now}
    elif result.retry_at is None:
        values["status"] = "dead"
    else:
        values["next_attempt_at"] = result.retry_at
    return values
