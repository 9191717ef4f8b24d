"""Leases with fencing tokens: one leader per name, and a stale one's writes refused.

What it guarantees: of all processes on one database at most one holds a lease
that :func:`check` lets pass, because the check runs inside the transaction of
the effect and locks the lease's row until that commits. A process that was
stopped past its lease and wakes up fails the check.

What it does not: that a holder is alone in *time* (clocks differ; it may be
asleep). So nothing may act on the strength of holding a lease; only on the
strength of having passed :func:`check` in the same commit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from config.errors import LeaseLostError
from ledger.bulk import execute
from ledger.schema import leases
from ledger.sql import insert_ignore
from ledger.store import Tx

LONGEST: Final = timedelta(seconds=10)
"""A dead holder's work rests for at most this long, plus one tick of whoever waits."""
DEFAULT_TTL: Final = LONGEST


@dataclass(frozen=True, slots=True)
class Lease:
    """Held until ``expires_at``, as committed in the database."""

    name: str
    owner: str
    fencing_token: int
    ttl: timedelta
    expires_at: datetime


class Standstill:
    """How long another's lease has not been renewed, by the waiting process's own monotonic clock.

    A wall clock that was set back an hour, after the holder died, would keep the chain without a
    leader for that hour. A living holder renews three times within :data:`LONGEST`.
    """

    def __init__(self) -> None:
        self._seen: tuple[str, int, datetime] | None = None
        self._since = 0.0

    def over(self, seen: tuple[str, int, datetime], now: float) -> bool:
        """Whether ``seen`` (owner, token, end) has stood still for longer than a lease lasts.

        :param now: monotonic seconds.
        """
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since > LONGEST.total_seconds()


async def acquire(
    tx: Tx,
    name: str,
    owner: str,
    ttl: timedelta = DEFAULT_TTL,
    *,
    waiting: tuple[Standstill, float] | None = None,
) -> Lease | None:
    """Take a lease that is free, expired or one's own; ``None`` while another holds it.

    :param owner: names one process start, not one host: a restarted process is a new owner.
    :param ttl: at most :data:`LONGEST`.
    :param waiting: what this process has seen of another's lease, and its monotonic time now.
    """
    assert timedelta() < ttl <= LONGEST, "a lease must not outlive the time of taking over"
    # The row is made empty and expired first, so that two starters lock one row, not none.
    empty = {"name": name, "owner": "", "fencing_token": 0, "expires_at": tx.now}
    await insert_ignore(tx, leases, [empty])
    query = sa.select(leases).where(leases.c.name == name).with_for_update()
    row = (await tx.conn.execute(query)).one()
    if row.owner != owner and row.expires_at > tx.now:
        seen = (row.owner, row.fencing_token, row.expires_at)
        if waiting is None or not waiting[0].over(seen, waiting[1]):
            return None
    mine = row.owner == owner and row.expires_at > tx.now
    token = row.fencing_token if mine else row.fencing_token + 1
    lease = Lease(name, owner, token, ttl, tx.now + ttl)
    await tx.conn.execute(
        leases.update()
        .where(leases.c.name == name)
        .values(owner=owner, fencing_token=token, expires_at=lease.expires_at)
    )
    return lease


async def renew(tx: Tx, lease: Lease) -> Lease:
    """The same lease, lasting ``ttl`` from now.

    :raises LeaseLostError: another owner has taken it.
    """
    expires_at = tx.now + lease.ttl
    result = await tx.conn.execute(
        leases.update().where(*_held(lease)).values(expires_at=expires_at)
    )
    if result.rowcount != 1:
        raise _lost(lease)
    return replace(lease, expires_at=expires_at)


async def release(tx: Tx, lease: Lease) -> None:
    """Let another take it at once; nothing happens if it was taken already."""
    await tx.conn.execute(leases.update().where(*_held(lease)).values(expires_at=tx.now))


async def set_ready(tx: Tx, lease: Lease) -> None:
    """Say that the holder has compared its part of the world with these books.

    Bound to the fencing token: whoever takes the lease next, after a restored backup
    too, begins as not ready.
    """
    await tx.conn.execute(
        leases.update().where(*_held(lease)).values(ready_token=lease.fencing_token)
    )


async def ready_names(tx: Tx, names: Collection[str]) -> set[str]:
    """Those of the leases that are held now by a holder that is ready."""
    query = sa.select(leases.c.name).where(
        leases.c.name.in_(sorted(names)),
        leases.c.expires_at > tx.now,
        leases.c.ready_token == leases.c.fencing_token,
    )
    return set((await tx.conn.execute(query)).scalars())


_HELD: Final = (
    sa.select(leases.c.expires_at)
    .where(
        leases.c.name == sa.bindparam("of_name"),
        leases.c.owner == sa.bindparam("of_owner"),
        leases.c.fencing_token == sa.bindparam("of_token"),
    )
    .with_for_update(read=True)
)


async def check(tx: Tx, lease: Lease) -> None:
    """Refuse the surrounding transaction to a stale holder; call it first in each effect.

    :raises LeaseLostError: expired, or held by another; nothing may be committed.
    """
    held = await execute(
        tx, _HELD, of_name=lease.name, of_owner=lease.owner, of_token=lease.fencing_token
    )
    if not held or held[0]["expires_at"] <= tx.now:
        raise _lost(lease)


def _held(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        leases.c.name == lease.name,
        leases.c.owner == lease.owner,
        leases.c.fencing_token == lease.fencing_token,
    )


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        "the lease expired or was taken by another process",
        where=lease.name,
        remedy="this process stops acting and waits to take it again",
    )
