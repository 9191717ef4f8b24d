"""A payment taken back after its payout: cancelled, repaid from new income, or written off."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from config.errors import InvalidInputError
from config.models import Settings
from config.units import Address
from ledger import receivables
from ledger.books import all_totals, totals_of
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.payment_moves import PaymentMove, move_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payouts import NewPayout, PayoutMove, create_payouts, lock_payouts, move_payouts
from ledger.postings import AccountKind, AccountRef, balance
from ledger.receivables import Debt, open_debts, recover_debts, write_off
from ledger.schema import audit_log, payments, payouts
from ledger.sql import as_row
from ledger.states import PaymentStatus, PayoutStatus
from ledger.store import Tx
from settlement.runs import PayoutRuns
from tests.support.books import Books

AMOUNT = 5_000000
TO = Address(b"\xdd" * 20)


async def paid(books: Books, amount: int = AMOUNT) -> None:
    _, address = await books.invoice(amount, merchant_id="mer_1")
    await books.record(books.sighting(address, amount))
    await books.confirm_all()


async def promise(books: Books, amount: int = AMOUNT) -> str:
    async with books.ledger.transaction() as tx:
        return (await create_payouts(tx, [NewPayout("mer_1", "anvil", "USDC", amount, TO)]))[0]


async def reverse_all(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        touched = Touched()
        rows = [as_row(r) for r in await tx.conn.execute(sa.select(payments))]
        moves = [PaymentMove(r, PaymentStatus.REVERSED) for r in rows if r["status"] == "confirmed"]
        await move_payments(tx, moves, PaymentPolicy(), touched)
        await refresh_invoices(tx, touched.ids, Tolerance())


async def owed(books: Books) -> list[int]:
    async with books.ledger.reading() as tx:
        return [d.amount for d in await open_debts(tx)]


async def status(books: Books, payout: str) -> str:
    async with books.ledger.reading() as tx:
        found = await tx.conn.scalar(sa.select(payouts.c.status).where(payouts.c.id == payout))
    return str(found)


async def test_reversal__payout_not_sent_yet__cancelled_and_the_debt_is_gone(
    books: Books,
) -> None:
    await paid(books)
    payout = await promise(books)
    await reverse_all(books)
    assert await owed(books) == [AMOUNT]
    await PayoutRuns(books.ledger, settings=Settings(), refused=[]).tick()
    assert await status(books, payout) == "canceled"
    assert await owed(books) == []
    async with books.ledger.reading() as tx:
        totals = await all_totals(tx)
    assert sum(t.debits_posted - t.credits_posted for t in totals.values()) == 0
    merchant = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
    assert balance(merchant.kind, totals[merchant]) == 0


async def test_reversal__after_the_payout__new_income_repays_before_anything_is_promised(
    books: Books,
) -> None:
    await paid(books)
    async with books.ledger.transaction() as tx:
        (payout,) = await create_payouts(tx, [NewPayout("mer_1", "anvil", "USDC", AMOUNT, TO)])
        rows = await lock_payouts(tx, [payout])
        assert rows[0]["status"] == PayoutStatus.QUEUED
        # As a batch in flight leaves it: nothing to cancel any more.
        await tx.conn.execute(payouts.update().values(status="on_hold", reason="x"))
        await tx.conn.execute(payouts.update().values(status="failed", reason="x"))
    await reverse_all(books)
    assert await owed(books) == [AMOUNT]
    await paid(books, AMOUNT + 7)
    async with books.ledger.transaction() as tx:
        assert await recover_debts(tx) == 1
        assert await recover_debts(tx) == 0
        merchant = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
        totals = (await totals_of(tx, [merchant]))[merchant]
    assert await owed(books) == []
    assert balance(merchant.kind, totals) - totals.debits_pending == 7


async def test_reversal__partial_income__rest_stays_owed(books: Books) -> None:
    await paid(books)
    payout = await promise(books)
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(payouts.update().values(status="on_hold", reason="x"))
        await tx.conn.execute(payouts.update().values(status="failed", reason="x"))
    await reverse_all(books)
    await paid(books, 2_000000)
    async with books.ledger.transaction() as tx:
        await recover_debts(tx)
    assert await owed(books) == [AMOUNT - 2_000000]
    assert await status(books, payout) == "failed"


async def test_recovery__repaid_between_listing_and_posting__not_repaid_once_more(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs and the leader of each chain recover side by side."""
    await paid(books)
    await promise(books)
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(payouts.update().values(status="on_hold", reason="x"))
        await tx.conn.execute(payouts.update().values(status="failed", reason="x"))
    await reverse_all(books)
    await paid(books, 3 * AMOUNT)
    async with books.ledger.reading() as tx:
        listed = await open_debts(tx)

    async def as_listed(_tx: Tx, _chain: str | None = None) -> list[Debt]:
        return listed

    async with books.ledger.transaction() as tx:
        assert await recover_debts(tx) == 1
    monkeypatch.setattr(receivables, "open_debts", as_listed)
    async with books.ledger.transaction() as tx:
        assert await recover_debts(tx) == 0
        merchant = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
        totals = (await totals_of(tx, [merchant]))[merchant]
    assert balance(merchant.kind, totals) - totals.debits_pending == 2 * AMOUNT


async def test_write_off__part_then_the_rest__audited_and_never_more_than_owed(
    books: Books,
) -> None:
    await paid(books)
    await promise(books)
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(payouts.update().values(status="on_hold", reason="x"))
        await tx.conn.execute(payouts.update().values(status="failed", reason="x"))
    await reverse_all(books)
    for amount in (1_000000, AMOUNT - 1_000000):
        async with books.ledger.transaction() as tx:
            debt = Debt("mer_1", "anvil", "USDC", amount)
            await write_off(tx, debt, actor="op", reason="merchant is gone")
    assert await owed(books) == []
    async with books.ledger.reading() as tx:
        assert await tx.conn.scalar(sa.select(sa.func.count()).select_from(audit_log)) == 2
    with pytest.raises(InvalidInputError, match="owed"):
        async with books.ledger.transaction() as tx:
            await write_off(tx, Debt("mer_1", "anvil", "USDC", 1), actor="op", reason="")


async def test_move_to_canceled__keeps_nothing_reserved(books: Books) -> None:
    await paid(books)
    payout = await promise(books)
    async with books.ledger.transaction() as tx:
        (row,) = await lock_payouts(tx, [payout])
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.CANCELED)])
        ref = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
        assert (await totals_of(tx, [ref]))[ref].debits_pending == 0
