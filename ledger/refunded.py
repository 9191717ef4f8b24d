"""What an invoice received and refunded; refunds whose payment the chain took back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from ledger.payouts import PayoutMove, move_payouts
from ledger.schema import invoices, payments, payouts
from ledger.sql import as_row, chunked
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.views import Row

TAKEN_BACK: Final = "the payment that it refunds was taken back by the chain"
NOT_GIVEN: Final = (PayoutStatus.CANCELED.value, PayoutStatus.FAILED.value)
"""Refunds in these states have given nothing back, and never will."""
UNSENT: Final = (PayoutStatus.PENDING_APPROVAL, PayoutStatus.QUEUED, PayoutStatus.ON_HOLD)
"""In no batch: what a refund may be taken back from."""
Place = tuple[str, str]
"""Chain and token."""


async def received_by(tx: Tx, invoice_id: str) -> dict[Place, int]:
    """Base units of an invoice's confirmed payments that are not held."""
    query = sa.select(payments.c.chain, payments.c.token, payments.c.amount).where(
        payments.c.invoice_id == invoice_id,
        payments.c.status == "confirmed",
        payments.c.held.is_(False),
        payments.c.token.is_not(None),
    )
    return _sums(list(await tx.conn.execute(query)))


async def refunded_of(tx: Tx, invoice_id: str) -> dict[Place, int]:
    """Base units that were refunded or are on their way."""
    query = sa.select(payouts.c.chain, payouts.c.token, payouts.c.amount).where(
        payouts.c.invoice_id == invoice_id, payouts.c.status.not_in(NOT_GIVEN)
    )
    return _sums(list(await tx.conn.execute(query)))


def _sums(rows: Sequence[Any]) -> dict[Place, int]:
    sums: dict[Place, int] = defaultdict(int)
    for row in rows:
        sums[row.chain, row.token] += row.amount
    return dict(sums)


async def recall_refunds(tx: Tx, invoice_ids: Collection[str]) -> None:
    """Cancel refunds in no batch that what these invoices received does not cover any more.

    Their merchant may have enough of other income: nothing else would stop them. The newest
    go first, whole ones only: half a refund is nobody's wish.
    """
    for part in chunked(sorted(invoice_ids)):
        # Whoever makes a refund holds its invoice: it is seen below, or sees what was taken back.
        locked = sa.select(invoices.c.id).where(invoices.c.id.in_(part)).order_by(invoices.c.id)
        await tx.conn.execute(locked.with_for_update())
        query = (
            sa.select(payouts)
            .where(
                payouts.c.invoice_id.in_(part),
                payouts.c.status.in_([status.value for status in UNSENT]),
            )
            .order_by(payouts.c.id.desc())
            .with_for_update()
        )
        waiting: dict[str, list[Row]] = defaultdict(list)
        for row in await tx.conn.execute(query):
            waiting[row.invoice_id].append(as_row(row))
        for invoice_id, rows in waiting.items():
            await _recall(tx, invoice_id, rows)


async def _recall(tx: Tx, invoice_id: str, unsent: Sequence[Row]) -> None:
    received = await received_by(tx, invoice_id)
    given = await refunded_of(tx, invoice_id)
    canceled = []
    for row in unsent:
        place = (row["chain"], row["token"])
        if given[place] > received.get(place, 0):
            given[place] -= row["amount"]
            canceled.append(PayoutMove(row, PayoutStatus.CANCELED, TAKEN_BACK))
    await move_payouts(tx, canceled)
