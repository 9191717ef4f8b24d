"""A restored database learns what it had sent, whatever was decided before it knew."""

from __future__ import annotations

import sqlalchemy as sa

from config.units import Address, Hash32
from ledger.books import post
from ledger.journal_records import BatchRecord, PayoutEntry
from ledger.payouts import NewPayout, PayoutMove, create_payouts, lock_payouts, move_payouts
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.redo import redo_batch
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
