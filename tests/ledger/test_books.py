"""Double entry on both databases: once per key, never below zero, never edited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from config.units import MAX_AMOUNT
from ledger.books import all_totals, house_totals, post, second_step, totals_of
from ledger.postings import (
    AccountKind,
    AccountRef,
    InsufficientFundsError,
    Posting,
    Totals,
    Transfer,
    available,
    balance,
)
from ledger.schema import accounts, transfers
from tests.support.books import Books

DEPOSITS = AccountRef(AccountKind.DEPOSITS, "anvil", "USDC")
TREASURY = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
MERCHANT = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
PAYOUTS = AccountRef(AccountKind.PAYOUTS, "anvil", "USDC", "mer_1")


def credit(key: str, amount: int, kind: str = "posted") -> Transfer:
    return Transfer(key, DEPOSITS, MERCHANT, amount, "payment", "pay_1", kind=kind)  # type: ignore[arg-type]


async def write(books: Books, *postings: Posting) -> int:
    async with books.ledger.transaction() as tx:
        return await post(tx, postings)


async def totals(books: Books, ref: AccountRef) -> Totals:
    async with books.ledger.reading() as tx:
        return (await totals_of(tx, [ref]))[ref]


async def test_post__same_key_again__changes_nothing(books: Books) -> None:
    assert await write(books, credit("a", 5)) == 1
    assert await write(books, credit("a", 5), credit("b", 7)) == 1
    assert await totals(books, MERCHANT) == Totals(credits_posted=12)
    assert await totals(books, DEPOSITS) == Totals(debits_posted=12)


async def test_post__many_at_once_on_the_same_accounts__none_is_lost(books: Books) -> None:
    """Each waits for the lock of the one before, and goes on from what that one wrote."""
    merchants = [AccountRef(AccountKind.MERCHANT, "anvil", "USDC", f"mer_{n}") for n in range(5)]

    async def one(number: int) -> int:
        order = merchants if number % 2 else merchants[::-1]
        return await write(
            books,
            *(Transfer(f"{number}:{m}", DEPOSITS, m, 3, "payment", "pay_1") for m in order),
        )

    assert await asyncio.gather(*(one(number) for number in range(8))) == [5] * 8
    assert await totals(books, DEPOSITS) == Totals(debits_posted=8 * 5 * 3)
    for merchant in merchants:
        assert await totals(books, merchant) == Totals(credits_posted=8 * 3)


async def test_post__pending_then_post_or_void__moves_whole_amounts(books: Books) -> None:
    await write(books, credit("a", 5, "pending"), credit("b", 7, "pending"))
    assert await totals(books, MERCHANT) == Totals(credits_pending=12)
    await write(books, second_step("a", "post", reason="x", object_id="pay_1"))
    await write(books, second_step("b", "void", reason="x", object_id="pay_1"))
    assert await totals(books, MERCHANT) == Totals(credits_posted=5)
    assert await write(books, second_step("a", "post", reason="x", object_id="pay_1")) == 0


async def test_post__resolved_both_ways__refused_by_the_database(books: Books) -> None:
    await write(books, credit("a", 5, "pending"))
    await write(books, second_step("a", "post", reason="x", object_id="pay_1"))
    with pytest.raises((sa.exc.IntegrityError, AssertionError)):
        await write(books, second_step("a", "void", reason="x", object_id="pay_1"))
    assert await totals(books, MERCHANT) == Totals(credits_posted=5)


async def test_post__overdraw__nothing_of_the_transaction_is_kept(books: Books) -> None:
    await write(books, credit("a", 5))
    reserve = Transfer("r", MERCHANT, PAYOUTS, 6, "reserve", "po_1", kind="pending")
    with pytest.raises(InsufficientFundsError, match="1 base units are missing"):
        await write(books, credit("b", 0), reserve)
    assert await totals(books, MERCHANT) == Totals(credits_posted=5)


async def test_post__pending_outflow__counts_against_what_is_available(books: Books) -> None:
    await write(books, credit("a", 10))
    await write(books, Transfer("r1", MERCHANT, PAYOUTS, 6, "reserve", "po_1", kind="pending"))
    held = await totals(books, MERCHANT)
    assert (balance(MERCHANT.kind, held), available(MERCHANT.kind, held)) == (10, 4)
    with pytest.raises(InsufficientFundsError):
        await write(books, Transfer("r2", MERCHANT, PAYOUTS, 5, "reserve", "po_2", kind="pending"))


async def test_f25_post__amounts_up_to_256_bits__exact(books: Books) -> None:
    await write(books, credit("a", MAX_AMOUNT - 1), credit("b", 1))
    assert await totals(books, MERCHANT) == Totals(credits_posted=MAX_AMOUNT)
    async with books.ledger.reading() as tx:
        stored = (await tx.conn.execute(sa.select(transfers.c.amount))).scalars().all()
    assert sorted(stored) == [1, MAX_AMOUNT - 1]
    assert all(type(value) is int for value in stored)


@pytest.mark.parametrize("wrong", [1.0, "1", True, -1, 2**256])
async def test_amount_column__not_an_unsigned_integer__refused(books: Books, wrong: object) -> None:
    with pytest.raises(sa.exc.StatementError, match="unsigned 256-bit"):
        async with books.ledger.transaction() as tx:
            await tx.conn.execute(accounts.update().values(debits_posted=wrong))


@pytest.mark.parametrize(
    "statement", [transfers.update().values(amount=1), transfers.delete()], ids=["update", "delete"]
)
async def test_transfers__edited_or_deleted__refused_by_the_database(
    books: Books, statement: sa.Executable
) -> None:
    await write(books, credit("a", 5))
    with pytest.raises(sa.exc.IntegrityError, match="append only"):
        async with books.ledger.transaction() as tx:
            await tx.conn.execute(statement)


def sums(all_of: Sequence[tuple[AccountRef, Totals]]) -> tuple[int, int]:
    debits = sum(t.debits_posted + t.debits_pending for _, t in all_of)
    owed = sum(t.credits_posted + t.credits_pending for _, t in all_of)
    return debits, owed


async def test_all_totals__any_postings__debits_equal_credits(books: Books) -> None:
    await write(books, credit("a", 50), credit("b", 7, "pending"))
    await write(
        books, Transfer("s", TREASURY, DEPOSITS, 20, "sweep", "1", kind="pending"), credit("c", 3)
    )
    await write(books, second_step("s", "post", reason="sweep", object_id="1"))
    async with books.ledger.reading() as tx:
        found = await all_totals(tx)
    debits, owed = sums(list(found.items()))
    assert debits == owed == 80


async def test_house_totals__many_merchants__what_all_totals_add_up_to(books: Books) -> None:
    mine = [
        Transfer(f"m{n}", DEPOSITS, replace(MERCHANT, merchant_id=f"mer_{n}"), 2**200 + n, "p", "1")
        for n in range(1_203)
    ]
    await write(books, *mine)
    await write(books, Transfer("s", TREASURY, DEPOSITS, 20, "sweep", "1", kind="pending"))
    async with books.ledger.reading() as tx:
        each, house = await all_totals(tx), await house_totals(tx)
        assert await house_totals(tx, chain="elsewhere") == {}
    assert len(house) == 3
    for ref, totals in house.items():
        parts = [t for r, t in each.items() if replace(r, merchant_id="") == ref]
        for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted"):
            assert getattr(totals, name) == sum(getattr(part, name) for part in parts)
