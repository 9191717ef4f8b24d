"""Held payments: money that is ours to keep safe and not yet the merchant's.

A payment in a token or on a chain that its invoice did not offer, or after its
monitoring ended, is booked to ``held`` and waits, with a hold that says why.
An operator's release makes it an ordinary payment: it counts for its invoice
and becomes available as any other, fee taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from config.errors import NotFoundError
from ledger.books import post, second_step
from ledger.invoices import Touched
from ledger.payment_rows import (
    PaymentPolicy,
    accounts_of,
    credit_of,
    posting_key,
    update_payments,
)
from ledger.payment_rules import fee_of
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.schema import holds, merchants, payments
from ledger.sql import as_row
from ledger.states import PaymentStatus
from ledger.store import Tx
from ledger.views import Row


async def hold_payments(tx: Tx, rows: Sequence[Row]) -> None:
    """Open a hold for each of these new held payments."""
    values = [
        {
            "id": tx.new_id("hold"),
            "kind": "payment",
            "object_type": "payment",
            "object_id": row["id"],
            "merchant_id": row["merchant_id"],
            "reason": row["reason"],
            "since": tx.now,
        }
        for row in rows
    ]
    if values:
        await tx.conn.execute(holds.insert(), values)


async def release_payment(tx: Tx, payment_id: str, policy: PaymentPolicy, touched: Touched) -> None:
    """Give a held payment to its merchant; does nothing if it is no longer held.

    Confirmed money moves from ``held`` to ``merchant`` and pays its fee. What is not
    confirmed yet has its pending posting voided and made again towards the merchant. One
    that the chain took back is only no longer held, should it return.

    :raises NotFoundError: no such payment.
    """
    query = sa.select(payments).where(payments.c.id == payment_id).with_for_update()
    found = (await tx.conn.execute(query)).one_or_none()
    if found is None:
        raise NotFoundError(f"no payment {payment_id[:40]!r}")
    row = as_row(found)
    if not row["held"]:
        return
    token = tx.catalogue.token_by_address(row["chain"], row["token_address"])
    freed = {
        **row,
        "held": False,
        "value": 0 if token is None else token.to_micros(row["amount"]),
        "credits": row["credits"],
    }
    if row["status"] == PaymentStatus.CONFIRMED:
        await _hand_over(tx, row, freed, policy)
    elif row["status"] in (PaymentStatus.DETECTED, PaymentStatus.CONFIRMING):
        key = f"{posting_key(row)}:credit"
        await post(tx, [second_step(key, "void", reason="release", object_id=payment_id)])
        freed["credits"] += 1
        await post(tx, [credit_of(freed)])
    update_payments(tx, [freed], ("held", "value", "fee", "credits"))
    touched.add([row["invoice_id"]])


async def _hand_over(tx: Tx, row: Row, freed: dict[str, object], policy: PaymentPolicy) -> None:
    _, holder = accounts_of(row)
    _, owner = accounts_of(freed)
    key, payment_id = posting_key(row), row["id"]
    rate = await tx.conn.scalar(
        sa.select(merchants.c.fee_bps).where(merchants.c.id == row["merchant_id"])
    )
    fee = fee_of(row["amount"], policy.fee_bps if rate is None else rate)
    fees = AccountRef(AccountKind.FEES, row["chain"], row["token"])
    freed["fee"] = fee
    await post(
        tx, [Transfer(f"{key}:release", holder, owner, row["amount"], "release", payment_id)]
    )
    await post(tx, [Transfer(f"{key}:fee", owner, fees, fee, "fee", payment_id)])
