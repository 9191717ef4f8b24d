"""Payments that change: confirmed, orphaned, reversed, with the postings of each step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ledger.books import post, second_step, totals_of
from ledger.bulk import Read, change, execute, read_all
from ledger.invoices import CURSORS, Touched, blocks_by_chain
from ledger.payment_rows import (
    PaymentPolicy,
    accounts_of,
    posting_key,
    tell_payments,
    update_payments,
)
from ledger.payment_rules import fee_of
from ledger.postings import AccountKind, AccountRef, Posting, Totals, Transfer, available
from ledger.refunded import recall_refunds
from ledger.schema import PAYMENT_OPEN, merchants, payments
from ledger.sql import as_row
from ledger.states import PaymentStatus, check_transition
from ledger.store import Tx
from ledger.views import Row

_OPEN: Final = (
    sa.select(payments)
    .where(
        payments.c.chain == sa.bindparam("of_chain"),
        PAYMENT_OPEN,
        payments.c.block_number <= sa.bindparam("highest"),
    )
    .order_by(payments.c.block_number, payments.c.log_index)
)
_OPEN_LOCKED: Final = _OPEN.with_for_update()
_CONFIRMING: Final = (
    payments.update()
    .where(
        payments.c.chain == sa.bindparam("of_chain"),
        PAYMENT_OPEN,
        payments.c.status == sa.literal_column("'detected'"),
        payments.c.block_number <= sa.bindparam("highest"),
    )
    .values(status=sa.literal_column("'confirming'"))
    .returning(payments.c.token)
)
_FINAL: Final = (
    payments.update()
    .where(
        payments.c.chain == sa.bindparam("of_chain"),
        payments.c.status == sa.literal_column("'confirmed'"),
        payments.c.is_final.is_(False),
        payments.c.block_number <= sa.bindparam("final"),
    )
    .values(is_final=sa.true())
)
_RATES: Final = sa.select(merchants.c.id, merchants.c.fee_bps)
_ANY_BLOCK: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PaymentMove:
    """A payment as stored, and the status that the chain now gives it.

    :param final: confirmed so late that the chain can no longer take it back.
    """

    payment: Row
    status: PaymentStatus
    final: bool = False


async def open_payments(
    tx: Tx, chain: str, highest: int = _ANY_BLOCK, *, lock: bool = True
) -> list[Row]:
    """Payments that are on the chain but not confirmed yet, oldest block first.

    :param highest: of blocks up to this one.
    """
    query = _OPEN_LOCKED if lock else _OPEN
    return [*await execute(tx, query, of_chain=chain, highest=highest)]


async def mark_confirming(tx: Tx, chain: str, highest: int) -> list[str]:
    """Those detected in blocks up to ``highest`` are confirming from here on.

    Nothing is posted or told, and no invoice changes by it.

    :returns: the token of each.
    """
    found = await execute(tx, _CONFIRMING, of_chain=chain, highest=highest)
    return [row["token"] for row in found]


async def unfinal_payments(tx: Tx, chain: str) -> list[Row]:
    """Payments that were confirmed early and that the chain could still take back."""
    query = sa.select(payments).where(
        payments.c.chain == chain,
        payments.c.status == "confirmed",
        payments.c.is_final.is_(False),
    )
    return [as_row(row) for row in await tx.conn.execute(query)]


async def payments_above(tx: Tx, chain: str, block: int, *, final: bool) -> list[Row]:
    """Payments credited from blocks above ``block``: what a reorg to it takes back.

    :param final: those held as final too: read from end to end, for no index has them.
    """
    confirmed = payments.c.status == "confirmed"
    if not final:
        confirmed &= payments.c.is_final.is_(False)
    rows: list[Row] = []
    # One after the other, each by an index of its own.
    for status in (PAYMENT_OPEN, confirmed):
        query = sa.select(payments).where(
            payments.c.chain == chain, payments.c.block_number > block, status
        )
        rows += [as_row(row) for row in await tx.conn.execute(query.with_for_update())]
    return sorted(rows, key=lambda row: (row["block_number"], row["log_index"]))


async def move_payments(
    tx: Tx, moves: Sequence[PaymentMove], policy: PaymentPolicy, touched: Touched
) -> None:
    """Carry out status changes: postings, rows, events; invoices are left to ``touched``.

    :raises ConflictError: a step that the payment's state machine does not have.
    """
    steps = [m for m in moves if m.payment["status"] != m.status]
    if not steps:
        return
    for step in steps:
        check_transition("payments", step.payment["status"], step.status)
    bps, cursors = await _around(tx, {s.payment["merchant_id"] for s in steps}, policy.fee_bps)
    rows = [_moved(tx, s, bps[s.payment["merchant_id"]]) for s in steps]
    update_payments(tx, rows, ("status", "fee", "confirmed_at", "is_final"))
    confirmed = [r for r in rows if r["status"] == PaymentStatus.CONFIRMED]
    orphaned = [r for r in rows if r["status"] == PaymentStatus.ORPHANED]
    await post(
        tx,
        [
            *(second_step(f"{posting_key(r)}:credit", "post", reason="payment", object_id=r["id"])
              for r in confirmed),
            *(second_step(f"{posting_key(r)}:credit", "void", reason="orphaned", object_id=r["id"])
              for r in orphaned),
            *(_fee(r) for r in confirmed),
        ],
    )  # fmt: skip
    reversed_ = [row for row in rows if row["status"] == PaymentStatus.REVERSED]
    if reversed_:
        # First: what they had reserved goes to the reversal instead of becoming a debt.
        await recall_refunds(tx, {row["invoice_id"] for row in reversed_})
    for row in reversed_:
        await _reverse(tx, row)
    touched.add({row["invoice_id"] for row in rows})
    await tell_payments(tx, [r for r in rows if r["status"] != PaymentStatus.DETECTED], cursors)


def _moved(tx: Tx, step: PaymentMove, fee_bps: int) -> dict[str, Any]:
    row = {**step.payment, "status": step.status.value}
    if step.status is PaymentStatus.CONFIRMED:
        row["confirmed_at"] = tx.now
        row["is_final"] = step.final
        row["fee"] = 0 if row["held"] else fee_of(row["amount"], fee_bps)
    return row


async def _around(
    tx: Tx, merchant_ids: Collection[str], default: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Fee rates by merchant in basis points, newest processed block by chain."""
    found, cursors = await read_all(
        tx, [Read(_RATES, merchants.c.id, sorted(merchant_ids)), Read(CURSORS)]
    )
    rates = {r["id"]: default if r["fee_bps"] is None else r["fee_bps"] for r in found}
    return rates, blocks_by_chain(cursors)


def _fee(row: Row) -> Transfer:
    _, owner = accounts_of(row)
    fees = AccountRef(AccountKind.FEES, row["chain"], row["token"])
    return Transfer(f"{posting_key(row)}:fee", owner, fees, row["fee"], "fee", row["id"])


async def _reverse(tx: Tx, row: Row) -> None:
    """Take a confirmed payment back, whatever the balances: what is missing becomes a debt."""
    deposits, owner = accounts_of(row)
    fees = AccountRef(AccountKind.FEES, row["chain"], row["token"])
    await post(
        tx, [Transfer(f"{posting_key(row)}:unfee", fees, owner, row["fee"], "reversal", row["id"])]
    )
    left = available(owner.kind, (await totals_of(tx, [owner])).get(owner, Totals()))
    taken = min(max(left, 0), row["amount"])
    debt = AccountRef(AccountKind.RECEIVABLE, row["chain"], row["token"], row["merchant_id"])
    postings: list[Posting] = [
        Transfer(f"{posting_key(row)}:reverse", owner, deposits, taken, "reversal", row["id"]),
        Transfer(
            f"{posting_key(row)}:debt", debt, deposits, row["amount"] - taken, "reversal", row["id"]
        ),
    ]
    await post(tx, postings)


def mark_final(tx: Tx, chain: str, final_block: int) -> None:
    """Payments at or below the final block can no longer be taken back by the chain."""
    change(tx, _FINAL, of_chain=chain, final=final_block)
