"""Young income of merchants whose terms keep some of it back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa

from ledger.refunded import NOT_GIVEN
from ledger.schema import payments, payouts
from ledger.sql import as_row, chunked
from ledger.store import Tx
from ledger.views import Row

Place = tuple[str, str, str]
"""Merchant, chain, token."""
_Income = list[tuple[int, datetime]]
_INCOME = sa.select(
    *(
        payments.c[name]
        for name in ("invoice_id", "chain", "token", "amount", "fee", "confirmed_at")
    )
).where(payments.c.status == "confirmed", payments.c.held.is_(False))


async def income_since(
    tx: Tx, since: Mapping[str, datetime]
) -> dict[Place, list[tuple[int, datetime]]]:
    """Net base units and time of confirmation of payments confirmed after a moment.

    What was refunded is no income any more: it has left what the merchant has available.

    :param since: by merchant; those left out are not looked at.
    """
    found: dict[Place, _Income] = defaultdict(list)
    for merchant_id, moment in sorted(since.items()):
        refunded = await _refunded_since(tx, merchant_id, moment)
        query = _INCOME.where(
            payments.c.merchant_id == merchant_id, payments.c.confirmed_at > moment
        )
        for row in await tx.conn.execute(query):
            if row.invoice_id not in refunded:
                place = (merchant_id, row.chain, row.token)
                found[place].append((row.amount - row.fee, row.confirmed_at))
        for (chain, token), income in (await _left_of(tx, sorted(refunded))).items():
            found[merchant_id, chain, token] += [one for one in income if one[1] > moment]
    return dict(found)


async def _refunded_since(tx: Tx, merchant_id: str, moment: datetime) -> set[str]:
    """Invoices with a refund since: an earlier one was of earlier payments."""
    query = sa.select(payouts.c.invoice_id).where(
        payouts.c.merchant_id == merchant_id,
        payouts.c.kind == "refund",
        payouts.c.status.not_in(NOT_GIVEN),
        payouts.c.created_at > moment,
    )
    return set((await tx.conn.execute(query)).scalars())


async def _left_of(tx: Tx, invoice_ids: list[str]) -> dict[tuple[str, str], _Income]:
    """What refunds left of all payments of these invoices, by chain and token."""
    paid: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    given: dict[tuple[str, str, str], int] = defaultdict(int)
    for part in chunked(invoice_ids):
        refunds = sa.select(
            payouts.c.invoice_id, payouts.c.chain, payouts.c.token, payouts.c.amount
        ).where(payouts.c.invoice_id.in_(part), payouts.c.status.not_in(NOT_GIVEN))
        for refund in await tx.conn.execute(refunds):
            given[refund.invoice_id, refund.chain, refund.token] += refund.amount
        for payment in await tx.conn.execute(_INCOME.where(payments.c.invoice_id.in_(part))):
            paid[payment.invoice_id, payment.chain, payment.token].append(as_row(payment))
    found: dict[tuple[str, str], _Income] = defaultdict(list)
    for place, rows in paid.items():
        found[place[1:]] += after_refunds(rows, given[place])
    return found


def after_refunds(rows: Iterable[Row], refunded: int) -> list[tuple[int, datetime]]:
    """Net base units that are left of payments, and when each was confirmed. Pure.

    The oldest are refunded first: of two readings, the one that keeps more back. The fee is
    not given back, so that it is taken from what is left.

    :param refunded: base units, of what was paid before fees.
    """
    left = []
    for row in sorted(rows, key=lambda row: (row["confirmed_at"], row["amount"])):
        taken = min(refunded, row["amount"])
        refunded -= taken
        net = row["amount"] - row["fee"] - taken
        if net > 0:
            left.append((net, row["confirmed_at"]))
    return left
