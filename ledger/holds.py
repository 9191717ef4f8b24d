"""Holds: what waits for a person, since when and why; what releasing one lets go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from config.errors import ConflictError, NotFoundError
from ledger.cursors import clear_halt
from ledger.held import release_payment
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.lanes import clear_lane_halt
from ledger.pauses import lift, scope_of
from ledger.payment_rows import PaymentPolicy
from ledger.payouts import PayoutMove, lock_payouts, move_payouts
from ledger.schema import holds
from ledger.states import PayoutStatus
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing on hold; ``object_type`` and ``object_id`` name it."""

    id: str
    kind: str
    object_type: str
    object_id: str
    merchant_id: str | None
    reason: str
    since: datetime
    released_at: datetime | None
    resolution: str | None


async def hold(
    tx: Tx,
    kind: str,
    object_type: str,
    object_id: str,
    reason: str,
    *,
    merchant_id: str | None = None,
) -> str:
    """Open a hold, or keep the open one of the same object; returns its id."""
    query = sa.select(holds.c.id).where(
        holds.c.kind == kind, holds.c.object_id == object_id, holds.c.released_at.is_(None)
    )
    known = await tx.conn.scalar(query)
    if known is not None:
        return str(known)
    hold_id = tx.new_id("hold")
    await tx.conn.execute(
        holds.insert().values(
            id=hold_id,
            kind=kind,
            object_type=object_type,
            object_id=object_id,
            merchant_id=merchant_id,
            reason=reason,
            since=tx.now,
        )
    )
    return hold_id


async def open_holds(tx: Tx, *, merchant_id: str | None = None) -> list[Hold]:
    """Everything on hold now, oldest first."""
    query = sa.select(holds).where(holds.c.released_at.is_(None)).order_by(holds.c.id)
    if merchant_id is not None:
        query = query.where(holds.c.merchant_id == merchant_id)
    return [Hold(**row._mapping) for row in await tx.conn.execute(query)]


async def open_places(tx: Tx, kind: str, prefix: str) -> set[str]:
    """Object ids with an open hold that begin with ``prefix``."""
    query = sa.select(holds.c.object_id).where(
        holds.c.kind == kind,
        holds.c.released_at.is_(None),
        holds.c.object_id.startswith(prefix, autoescape=True),
    )
    return set((await tx.conn.execute(query)).scalars())


async def last_released(tx: Tx, kind: str, object_id: str) -> tuple[str, str] | None:
    """The newest hold of an object that was released: its id and its reason."""
    query = (
        sa.select(holds.c.id, holds.c.reason)
        .where(
            holds.c.kind == kind,
            holds.c.object_id == object_id,
            holds.c.released_at.is_not(None),
        )
        .order_by(holds.c.id.desc())
        .limit(1)
    )
    found = (await tx.conn.execute(query)).one_or_none()
    return None if found is None else (found.id, found.reason)


async def open_reason(tx: Tx, kind: str, object_id: str) -> str | None:
    """Why an object is on hold; ``None``: it is not."""
    query = sa.select(holds.c.reason).where(
        holds.c.kind == kind, holds.c.object_id == object_id, holds.c.released_at.is_(None)
    )
    found = await tx.conn.scalar(query)
    return None if found is None else str(found)


async def close_holds(tx: Tx, kind: str, object_id: str, resolution: str) -> None:
    """Mark the holds of an object as over, because what they waited for has happened."""
    await tx.conn.execute(
        holds.update()
        .where(holds.c.kind == kind, holds.c.object_id == object_id, holds.c.released_at.is_(None))
        .values(released_at=tx.now, resolution=resolution)
    )


async def _lift(tx: Tx, hold_id: str, object_id: str) -> None:
    """The breaker lets go, unless it has tripped for another reason too."""
    chain, token, _ = object_id.split("/")
    others = sa.select(holds.c.id).where(
        holds.c.object_type == "breaker",
        holds.c.object_id.startswith(f"{chain}/{token}/", autoescape=True),
        holds.c.released_at.is_(None),
        holds.c.id != hold_id,
    )
    if await tx.conn.scalar(others.limit(1)) is None:
        await lift(tx, scope_of("payouts", chain, token or None))


async def release_hold(
    tx: Tx,
    hold_id: str,
    resolution: str = "released",
    *,
    policy: PaymentPolicy | None = None,
    tolerance: Tolerance | None = None,
) -> Hold:
    """An operator's decision to go on.

    The payout is queued again, the lane or chain reopened, the payment given to its merchant.

    :param policy: decides the fee of a released payment.
    :param tolerance: of the invoice that it then counts for.
    :raises NotFoundError: no such hold.
    :raises ConflictError: it was released before.
    """
    query = sa.select(holds).where(holds.c.id == hold_id).with_for_update()
    row = (await tx.conn.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"no hold {hold_id[:40]!r}")
    if row.released_at is not None:
        raise ConflictError("the hold was released before", where=hold_id)
    match row.kind:
        case "payout":
            payouts = await lock_payouts(tx, [row.object_id])
            held = [p for p in payouts if p["status"] == PayoutStatus.ON_HOLD]
            await move_payouts(tx, [PayoutMove(p, PayoutStatus.QUEUED) for p in held])
        case "payment" if row.object_type == "payment":
            touched = Touched()
            await release_payment(tx, row.object_id, policy or PaymentPolicy(), touched)
            await refresh_invoices(tx, touched.ids, tolerance or Tolerance())
        case "lane":
            chain, _, lane = row.object_id.partition("/")
            await clear_lane_halt(tx, chain, lane)
        case "chain" if row.object_type == "chain":
            await clear_halt(tx, row.object_id)
        case "batch" if row.object_type == "breaker":
            await _lift(tx, hold_id, row.object_id)
        case _:
            pass
    await tx.conn.execute(
        holds.update()
        .where(holds.c.id == hold_id)
        .values(released_at=tx.now, resolution=resolution)
    )
    return Hold(**{**row._mapping, "released_at": tx.now, "resolution": resolution})
