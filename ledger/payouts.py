"""Payouts in the store: promises made, moved and kept, with the postings of each step.

::

    created             pending   merchant → payouts   {po}:reserve
    queued → batched    pending   payouts → treasury   {po}:{attempt}:draw
    submitted → paid    post      both
    back to queued, or  void      the draw
    on_hold
    canceled, failed    void      both; its payments are due again
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address, Hash32
from ledger.books import post, second_step
from ledger.bulk import Insert, Update, execute, insert_rows, select_in, update_rows, write_all
from ledger.outbox import NewEvent, emit
from ledger.postings import AccountKind, AccountRef, Posting, Transfer
from ledger.schema import holds, payments, payouts
from ledger.sql import as_row, chunked
from ledger.states import PayoutStatus, check_transition
from ledger.store import Tx
from ledger.views import Row, view_payout

_DUE: Final = sa.select(
    payments.c.id,
    payments.c.merchant_id,
    payments.c.chain,
    payments.c.token,
    payments.c.fee,
    payments.c.confirmed_at,
).where(
    # Spelt out, or SQLite would not use the index of unsettled payments.
    payments.c.status == sa.literal_column("'confirmed'"),
    payments.c.payout_id.is_(None),
    payments.c.held.is_(False),
)
_LOCKED: Final = sa.select(payouts).order_by(payouts.c.id).with_for_update()
_OF_BATCH: Final = (
    sa.select(payouts)
    .where(payouts.c.batch_id == sa.bindparam("of_batch"))
    .order_by(payouts.c.batch_index)
    .with_for_update()
)
_CHOSEN_BY: Final = (
    "id", "merchant_id", "chain", "token", "kind", "address", "amount", "attempt", "created_at",
)  # fmt: skip
_IS_QUEUED: Final = sa.and_(
    payouts.c.chain == sa.bindparam("of_chain"),
    payouts.c.status == sa.literal_column("'queued'"),
)
_QUEUED_TOKENS: Final = sa.select(payouts.c.token).where(_IS_QUEUED).distinct()
_QUEUED: Final = (
    sa.select(*(payouts.c[name] for name in _CHOSEN_BY))
    .where(_IS_QUEUED, payouts.c.token == sa.bindparam("of_token"))
    .order_by(payouts.c.id)
    .limit(sa.bindparam("most"))
)
_LARGEST: Final = _QUEUED.order_by(None).order_by(payouts.c.amount.desc(), payouts.c.id)
_UNSENT: Final = (PayoutStatus.QUEUED, PayoutStatus.ON_HOLD, PayoutStatus.PENDING_APPROVAL)
_OVER: Final = (PayoutStatus.CANCELED, PayoutStatus.FAILED)


@dataclass(frozen=True, slots=True)
class NewPayout:
    """A promise to make. Amounts in base units.

    :param reason: puts it on hold from the start; with ``waits``, why it waits.
    :param waits: it begins as ``pending_approval``, until ``not_before`` or for a person.
    :param invoice_id: of a refund.
    :param confirmed_by: payments confirmed later stay due.
    """

    merchant_id: str
    chain: str
    token: str
    amount: int
    address: Address
    run_id: str | None = None
    kind: str = "settlement"
    reason: str | None = None
    waits: bool = False
    not_before: datetime | None = None
    invoice_id: str | None = None
    confirmed_by: datetime | None = None

    @property
    def status(self) -> PayoutStatus:
        """In which it begins."""
        if self.waits:
            return PayoutStatus.PENDING_APPROVAL
        return PayoutStatus.QUEUED if self.reason is None else PayoutStatus.ON_HOLD


_STORED: Final = (
    "merchant_id", "chain", "token", "amount", "address", "run_id", "kind", "reason",
    "not_before", "invoice_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PayoutMove:
    """A payout as stored, the status that it gets, and what goes with it."""

    payout: Row
    status: PayoutStatus
    reason: str | None = None
    tx_hash: Hash32 | None = None


async def create_payouts(tx: Tx, new: Sequence[NewPayout]) -> list[str]:
    """Reserve the amounts and queue the payouts; every confirmed payment not in a payout joins.

    :raises InsufficientFundsError: a merchant has less available than is promised.
    """
    due = await _due_payments(tx, new)
    rows: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    for made in new:
        payout_id = tx.new_id("po")
        place = (made.merchant_id, made.chain, made.token)
        settled = _taken(due.get(place, []), made) if made.kind == "settlement" else []
        rows.append(
            {
                **{name: getattr(made, name) for name in _STORED},
                "id": payout_id,
                "fee": sum(payment["fee"] for payment in settled),
                "status": made.status.value,
                "batch_id": None,
                "batch_index": None,
                "attempt": 0,
                "tx_hash": None,
                "created_at": tx.now,
                "paid_at": None,
            }
        )
        links += [{"id": payment["id"], "payout_id": payout_id} for payment in settled]
    write_all(tx, [Insert(payouts, rows), Update(payments, links, ("payout_id",))])
    await post(tx, [reserve_of(row) for row in rows], fresh=True)
    await _hold(tx, [row for row in rows if row["status"] == PayoutStatus.ON_HOLD])
    await _tell(tx, rows)
    return [row["id"] for row in rows]


async def _due_payments(
    tx: Tx, new: Sequence[NewPayout]
) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Confirmed payments in no payout, by merchant, chain and token."""
    wanted = sorted({made.merchant_id for made in new if made.kind == "settlement"})
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in await select_in(tx, _DUE, payments.c.merchant_id, wanted):
        found[row["merchant_id"], row["chain"], row["token"]].append(row)
    return found


def _taken(due: list[dict[str, Any]], made: NewPayout) -> list[dict[str, Any]]:
    """Those that join the payout; they are due no more for others of this call."""
    latest = made.confirmed_by
    settled = [p for p in due if latest is None or p["confirmed_at"] <= latest]
    due[:] = [p for p in due if latest is not None and p["confirmed_at"] > latest]
    return settled


def merchant_account(row: Row) -> AccountRef:
    """The merchant's account that a payout draws on."""
    return AccountRef(AccountKind.MERCHANT, row["chain"], row["token"], row["merchant_id"])


def _clearing(row: Row) -> AccountRef:
    return AccountRef(AccountKind.PAYOUTS, row["chain"], row["token"], row["merchant_id"])


def reserve_of(row: Row) -> Transfer:
    """What a promise takes from its merchant; guarded, so only what is available."""
    key = f"{row['id']}:reserve"
    return Transfer(
        key, merchant_account(row), _clearing(row), row["amount"], "payout", row["id"], "pending"
    )


def draw_of(row: Row) -> Transfer:
    """The treasury money that a batched payout holds; guarded, so only what was swept for good."""
    treasury = AccountRef(AccountKind.TREASURY, row["chain"], row["token"])
    return Transfer(
        _draw_key(row), _clearing(row), treasury, row["amount"], "payout", row["id"], "pending"
    )


def _draw_key(row: Row) -> str:
    return f"{row['id']}:{row['attempt']}:draw"


async def queued_payouts(
    tx: Tx, chain: str, limit: int, *, without: Collection[str] = ()
) -> list[Row]:
    """Payouts that wait for a batch, oldest first: what choosing needs of them, no more.

    :param limit: of each token: one that cannot be paid now must not hide the others.
    :param without: tokens left out.
    """
    tokens = {row["token"] for row in await execute(tx, _QUEUED_TOKENS, of_chain=chain)}
    rows: list[Row] = []
    for token in sorted(tokens - set(without)):
        rows += await execute(tx, _QUEUED, of_chain=chain, of_token=token, most=limit)
    return sorted(rows, key=lambda row: str(row["id"]))


async def largest_payouts(tx: Tx, chain: str, token: str, limit: int) -> list[Row]:
    """As :func:`queued_payouts`, of one token, largest first."""
    return [*await execute(tx, _LARGEST, of_chain=chain, of_token=token, most=limit)]


async def unsent_payouts(tx: Tx, merchant_id: str, chain: str, token: str) -> list[Row]:
    """A merchant's payouts that are in no batch, newest first, locked."""
    query = (
        sa.select(payouts)
        .where(
            payouts.c.merchant_id == merchant_id,
            payouts.c.chain == chain,
            payouts.c.token == token,
            payouts.c.status.in_([status.value for status in _UNSENT]),
        )
        .order_by(payouts.c.id.desc())
        .with_for_update()
    )
    return [as_row(row) for row in await tx.conn.execute(query)]


async def matching_payout(
    tx: Tx, chain: str, token: str, address: Address, amount: int, *, without: Collection[str]
) -> Row | None:
    """The oldest payout not in a batch that a transfer of exactly this would pay."""
    query = (
        sa.select(payouts)
        .where(
            payouts.c.chain == chain,
            payouts.c.token == token,
            payouts.c.address == address,
            payouts.c.status.in_([status.value for status in _UNSENT]),
        )
        .order_by(payouts.c.id)
    )
    rows = [as_row(row) for row in await tx.conn.execute(query)]
    return next((r for r in rows if r["amount"] == amount and r["id"] not in without), None)


async def lock_payouts(tx: Tx, ids: Sequence[str]) -> list[Row]:
    """These payouts, locked, in order of id."""
    return [*await select_in(tx, _LOCKED, payouts.c.id, sorted(ids))]


async def payouts_of_batch(tx: Tx, batch_id: int) -> list[Row]:
    """A batch's payouts in the order of its entries, locked."""
    return [*await execute(tx, _OF_BATCH, of_batch=batch_id)]


async def put_into_batch(tx: Tx, rows: Sequence[Row], batch_id: int) -> None:
    """P1 for payouts: each gets its place in the batch and its draw on the treasury.

    :raises InsufficientFundsError: the treasury holds too little that is final.
    """
    placed = [
        {
            **row,
            "status": PayoutStatus.BATCHED.value,
            "reason": None,
            "batch_id": batch_id,
            "batch_index": index,
            "attempt": row["attempt"] + 1,
        }
        for index, row in enumerate(rows)
    ]
    for row in rows:
        check_transition("payouts", row["status"], PayoutStatus.BATCHED)
    columns = ("status", "reason", "batch_id", "batch_index", "attempt")
    update_rows(tx, payouts, placed, columns)
    await post(tx, [draw_of(row) for row in placed], fresh=True)


async def move_payouts(tx: Tx, moves: Sequence[PayoutMove]) -> None:
    """Carry out status changes: rows, postings, holds, events.

    :raises ConflictError: a step that the payout's state machine does not have.
    """
    steps = [m for m in moves if m.payout["status"] != m.status]
    if not steps:
        return
    for step in steps:
        check_transition("payouts", step.payout["status"], step.status)
    rows = [_moved(step, tx.now) for step in steps]
    columns = ("status", "reason", "batch_id", "batch_index", "tx_hash", "paid_at")
    update_rows(tx, payouts, rows, columns)
    await post(tx, [p for step in steps for p in postings_of(step)])
    over = [row["id"] for row in rows if row["status"] in _OVER]
    for part in chunked(over):
        await tx.conn.execute(
            payments.update().where(payments.c.payout_id.in_(part)).values(payout_id=None)
        )
    await _hold(tx, [row for row in rows if row["status"] == PayoutStatus.ON_HOLD])
    await _close_holds(
        tx, [s.payout["id"] for s in steps if s.payout["status"] == PayoutStatus.ON_HOLD]
    )
    await _tell(tx, rows)


def _moved(step: PayoutMove, now: datetime) -> dict[str, Any]:
    row = {**step.payout, "status": step.status.value, "reason": step.reason}
    if step.status in (*_UNSENT, *_OVER):
        row |= {"batch_id": None, "batch_index": None, "tx_hash": None}
    else:
        row["tx_hash"] = step.tx_hash or row["tx_hash"]
    row["paid_at"] = now if step.status is PayoutStatus.PAID else None
    return row


def postings_of(step: PayoutMove) -> list[Posting]:
    """What a status change does to the books; nothing for a step between waiting states."""
    row = step.payout
    steps: list[Posting] = []
    drawn = row["status"] in (PayoutStatus.BATCHED, PayoutStatus.SUBMITTED)
    if step.status is PayoutStatus.PAID:
        keys = [f"{row['id']}:reserve", _draw_key(row)]
        return [second_step(key, "post", reason="paid", object_id=row["id"]) for key in keys]
    kind = step.status.value
    if drawn and step.status in (*_UNSENT, *_OVER):
        steps.append(second_step(_draw_key(row), "void", reason=kind, object_id=row["id"]))
    if step.status in _OVER:
        key = f"{row['id']}:reserve"
        steps.append(second_step(key, "void", reason=kind, object_id=row["id"]))
    return steps


async def _hold(tx: Tx, rows: Sequence[Row]) -> None:
    made = [
        {
            "id": tx.new_id("hold"),
            "kind": "payout",
            "object_type": "payout",
            "object_id": row["id"],
            "merchant_id": row["merchant_id"],
            "reason": row["reason"],
            "since": tx.now,
        }
        for row in rows
    ]
    insert_rows(tx, holds, made)


async def _close_holds(tx: Tx, payout_ids: Sequence[str]) -> None:
    for part in chunked(payout_ids):
        await tx.conn.execute(
            holds.update()
            .where(
                holds.c.kind == "payout",
                holds.c.object_id.in_(part),
                holds.c.released_at.is_(None),
            )
            .values(released_at=tx.now, resolution="moved on")
        )


def _event_type(row: Row) -> str | None:
    status = row["status"]
    if row["kind"] == "refund" and status in (PayoutStatus.PAID, PayoutStatus.FAILED):
        return f"refund.{status}"
    if row["kind"] == "refund" and status == PayoutStatus.PENDING_APPROVAL:
        return "refund.created"
    told = ("queued", "submitted", "paid", "on_hold", "failed")
    return f"payout.{status}" if status in told else None


async def _tell(tx: Tx, rows: Sequence[Row]) -> None:
    new = [
        NewEvent(row["merchant_id"], kind, row["id"], view_payout(row, tx.catalogue))
        for row in rows
        if (kind := _event_type(row)) is not None
    ]
    await emit(tx, new)
