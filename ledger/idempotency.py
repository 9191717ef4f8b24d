"""Idempotency keys: one effect per key, whatever the client repeats.

::

    reserve ── own commit ──►  in flight (attempt n) ──► finish ── in the effect's commit
                                      │
                                      └── the process died: after STALE_AFTER the next
                                          request takes it over as attempt n + 1

A crash before the effect's commit leaves an entry in flight and no effect; a
crash after it leaves both. A holder that was only slow, and finds itself
overtaken, cannot commit: ``finish`` raises, and its effect is rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from config.errors import ConflictError
from ledger.schema import idempotency_keys
from ledger.sql import insert_ignore
from ledger.store import Tx

STALE_AFTER: Final = timedelta(seconds=20)
"""Longer than a request may take (see the gateway's time limit)."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """This request is to do the work, as this attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Replay:
    """It was done before; this was the answer."""

    status_code: int
    response: str


@dataclass(frozen=True, slots=True)
class InFlight:
    """Another request is doing it."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another request."""


Reservation = Reserved | Replay | InFlight | Mismatch


async def reserve(tx: Tx, scope: str, key: str, request_hash: bytes) -> Reservation:
    """Take the key, or learn who has it; safe against simultaneous requests."""
    table = idempotency_keys
    mine = {
        "scope": scope,
        "key": key,
        "request_hash": request_hash,
        "attempt": 0,
        "created_at": tx.now,
    }
    where = (table.c.scope == scope, table.c.key == key)
    row = None
    while row is None:  # until nobody gives the key back between the two statements
        await insert_ignore(tx, table, [mine])
        row = (await tx.conn.execute(sa.select(table).where(*where).with_for_update())).first()
    if row.request_hash != request_hash:
        return Mismatch()
    if row.status_code is not None:
        return Replay(int(row.status_code), str(row.response))
    # Attempt 0: the row is this transaction's own, nobody else can see it yet.
    if row.attempt and tx.now - row.created_at < STALE_AFTER:
        return InFlight()
    attempt = int(row.attempt) + 1
    await tx.conn.execute(table.update().where(*where).values(attempt=attempt, created_at=tx.now))
    return Reserved(attempt)


async def finish(
    tx: Tx, scope: str, key: str, attempt: int, *, status_code: int, response: str
) -> None:
    """Keep the answer, in the same transaction as the effect.

    :raises ConflictError: the key was taken over meanwhile; the caller must roll back.
    """
    table = idempotency_keys
    changed = await tx.conn.execute(
        table.update()
        .where(
            table.c.scope == scope,
            table.c.key == key,
            table.c.attempt == attempt,
            table.c.status_code.is_(None),
        )
        .values(status_code=status_code, response=response)
    )
    if changed.rowcount != 1:
        raise ConflictError(
            "this request took too long and another one took over its idempotency key",
            remedy="send it again with the same key",
        )


async def release(tx: Tx, scope: str, key: str, attempt: int) -> None:
    """Give the key back after a request that was refused: nothing happened under it."""
    table = idempotency_keys
    await tx.conn.execute(
        table.delete().where(
            table.c.scope == scope,
            table.c.key == key,
            table.c.attempt == attempt,
            table.c.status_code.is_(None),
        )
    )


async def forget(tx: Tx, before: datetime, limit: int = 5_000) -> int:
    """Drop keys older than ``before``, at most ``limit`` of them; returns how many.

    A bounded group: on SQLite nobody else writes meanwhile.
    """
    table = idempotency_keys
    old = (
        sa.select(table.c.scope, table.c.key)
        .where(table.c.created_at < before)
        .order_by(table.c.created_at)
        .limit(limit)
    )
    gone = await tx.conn.execute(
        table.delete().where(sa.tuple_(table.c.scope, table.c.key).in_(old))
    )
    return int(gone.rowcount)
