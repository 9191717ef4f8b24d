"""Held payments wait with a hold, and become the merchant's when an operator says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.books import totals_of
from ledger.holds import open_holds, release_hold
from ledger.postings import AccountKind, AccountRef, Totals, available, balance
from tests.support.books import Books

MERCHANT = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
HELD = AccountRef(AccountKind.HELD, "anvil", "USDC", "mer_1")


async def both(books: Books) -> tuple[Totals, Totals]:
    async with books.ledger.reading() as tx:
        found = await totals_of(tx, [HELD, MERCHANT])
    return found[HELD], found[MERCHANT]


async def held_payment(books: Books) -> str:
    books.policy = replace(books.policy, fee_bps=100)
    invoice, address = await books.invoice(10_000000, tokens=(("anvil", "USDT"),))
    await books.advance(books.block(1))
    await books.record(books.sighting(address, 10_000000))
    return invoice


async def release(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        (hold,) = await open_holds(tx)
        assert (hold.kind, hold.reason, hold.merchant_id) == ("payment", "wrong_token", "mer_1")
        await release_hold(tx, hold.id, policy=books.policy, tolerance=books.tolerance)
        assert await open_holds(tx) == []


@pytest.mark.parametrize("confirmed_first", [True, False])
async def test_release__before_or_after_confirmation__available_less_fee_and_counted(
    books: Books, confirmed_first: bool
) -> None:
    invoice = await held_payment(books)
    if confirmed_first:
        await books.confirm_all()
        held, _ = await both(books)
        assert balance(HELD.kind, held) == 10_000000
    await release(books)
    await books.confirm_all()
    held, merchant = await both(books)
    assert (balance(HELD.kind, held), held.credits_pending) == (0, 0)
    assert available(MERCHANT.kind, merchant) == 9_900000
    assert (await books.view(invoice))["status"] == "paid"


async def test_release__then_reversed__everything_taken_back(books: Books) -> None:
    await held_payment(books)
    await books.confirm_all()
    await release(books)
    await books.rewind_to(books.block(0))
    held, merchant = await both(books)
    assert (balance(HELD.kind, held), balance(MERCHANT.kind, merchant)) == (0, 0)


async def test_release__of_an_orphaned_payment__books_unmoved(books: Books) -> None:
    await held_payment(books)
    await books.rewind_to(books.block(0))
    await release(books)
    assert await both(books) == (Totals(), Totals())
