"""A restored database learns what it had sent, whatever was decided before it knew."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.errors import InvalidInputError
from config.units import Address, Hash32
from ledger.books import post
from ledger.journal_records import BatchRecord, PayoutEntry, decode_record, encode_record
from ledger.payouts import NewPayout, PayoutMove, create_payouts, lock_payouts, move_payouts
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.redo import redo_batch
from ledger.refunds import NewRefund, RefundPolicy, create_refund
from ledger.schema import payouts
from ledger.states import PayoutStatus
from tests.support.books import Books

TO = Address(b"\xd1" * 20)


async def test_f20_payout_canceled_before_the_books_knew_that_it_left__booked_as_another(
    books: Books,
) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all()
    async with books.ledger.transaction() as tx:
        treasury = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
        owner = AccountRef(AccountKind.OWNER, "anvil", "USDC")
        await post(tx, [Transfer("k", treasury, owner, 10_000000, "capital", "x")])
        (gone,) = await create_payouts(tx, [NewPayout("mer_1", "anvil", "USDC", 7_000000, TO)])
    async with books.ledger.transaction() as tx:
        (row,) = await lock_payouts(tx, [gone])
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.CANCELED, "taken back")])
    sent = PayoutEntry(gone, "mer_1", "settlement", 7_000000, TO)
    record = BatchRecord(
        "anvil/0/1", "anvil", "payouts", "payout", "USDC", 0, 1, Hash32(bytes(32)),
        Address(b"\x77" * 20), 0, b"", (), 1, (sent,),
    )  # fmt: skip
    async with books.ledger.transaction() as tx:
        batch = await redo_batch(tx, record, force=False)
        query = sa.select(payouts.c.batch_id, payouts.c.status, payouts.c.amount)
        found = [tuple(row) for row in await tx.conn.execute(query.order_by(payouts.c.id))]
    assert found == [(None, "canceled", 7_000000), (batch, "batched", 7_000000)]


async def test_f20_refund_lost_and_asked_for_again_before_the_books_knew__one_of_them_is_paid(
    books: Books,
) -> None:
    """The merchant has other income: nothing else would stop a second refund of one payment."""
    invoice, address = await books.invoice()
    _, other = await books.invoice()
    await books.record(books.sighting(address, 7_000000), books.sighting(other, 9_000000))
    await books.confirm_all()
    sent = PayoutEntry("po_lost", "mer_1", "refund", 7_000000, TO, invoice_id=invoice)
    record = BatchRecord(
        "anvil/0/1", "anvil", "payouts", "payout", "USDC", 0, 1, Hash32(bytes(32)),
        Address(b"\x77" * 20), 0, b"", (), 1, (sent,),
    )  # fmt: skip
    policy = RefundPolicy(timedelta(0), approval=False, refused=())
    async with books.ledger.transaction() as tx:
        treasury = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
        owner = AccountRef(AccountKind.OWNER, "anvil", "USDC")
        await post(tx, [Transfer("k", treasury, owner, 16_000000, "capital", "x")])
        again = await create_refund(tx, "mer_1", NewRefund(invoice, TO), policy)
    async with books.ledger.transaction() as tx:
        await redo_batch(tx, decode_record(encode_record(record)), force=False)  # type: ignore[arg-type]
        query = sa.select(payouts.c.id, payouts.c.status, payouts.c.invoice_id)
        found = {row.id: (row.status, row.invoice_id) for row in await tx.conn.execute(query)}
    assert found == {"po_lost": ("batched", invoice), again["id"]: ("canceled", invoice)}
    async with books.ledger.transaction() as tx:
        with pytest.raises(InvalidInputError, match="nothing of this invoice is left"):
            await create_refund(tx, "mer_1", NewRefund(invoice, TO), policy)
