"""Deposits that wait for a sweep, however many: page by page, and none is hidden by others."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.models import SettlementSettings
from config.units import Address
from ledger.holds import hold
from ledger.payouts import NewPayout, create_payouts
from ledger.schema import merchants
from ledger.sweeps import BEGINNING, Deposit, Place, unswept_deposits
from settlement.context import Context, Policy
from settlement.outlook import DepositRounds, sum_deposits
from settlement.sweep_plan import DELEGATION_GAS
from settlement.sweep_policy import Waits
from settlement.sweeps import chosen_deposits
from tests.support.books import Books

DUST, WORTH = 1_000000, 5_000000


async def another_merchant(books: Books) -> str:
    async with books.ledger.transaction() as tx:
        row = {"id": "mer_2", "name": "Two", "created_at": tx.now}
        await tx.conn.execute(merchants.insert().values(row))
    return "mer_2"


async def paid(books: Books, *amounts: int, merchant: str = "mer_1") -> Address:
    """One address, so many payments."""
    _, address = await books.invoice(sum(amounts), merchant_id=merchant)
    for amount in amounts:
        await books.record(books.sighting(address, amount))
    await books.confirm_all()
    return address


async def pages(books: Books, limit: int) -> list[list[Deposit]]:
    found, place = [], cast("Place | None", BEGINNING)
    while place is not None:
        async with books.ledger.reading() as tx:
            page, place = await unswept_deposits(tx, "anvil", "USDC", place, limit)
        found.append(page)
    return found


@pytest.mark.parametrize("limit", [3, 100])
async def test_unswept__in_pages_of_any_size__every_address_whole_and_once(
    books: Books, limit: int
) -> None:
    other = await another_merchant(books)
    addresses = {
        await paid(books, 1, 2, 3): 6,
        await paid(books, 5): 5,
        await paid(books, 7, 8, merchant=other): 15,
        await paid(books, 9): 9,
    }
    found = await pages(books, limit)
    assert all(len(d.payment_ids) <= limit for page in found for d in page)
    assert sorted((d.address, d.amount) for page in found for d in page) == sorted(
        addresses.items()
    )


async def test_unswept__more_payments_at_one_address_than_a_page_holds__in_parts(
    books: Books,
) -> None:
    await paid(books, 1, 2, 3)
    (page, *_) = await pages(books, 2)
    (part,) = page
    assert len(part.payment_ids) == 2, "the rest comes when these are swept"


async def test_chosen__very_many_small_ones_first__hide_nothing_and_go_last(
    books: Books,
) -> None:
    """As many as fill the pages before them used to keep the others from being looked at."""
    for _ in range(4):
        await paid(books, DUST)
    worth = await paid(books, WORTH, merchant=await another_merchant(books))
    ctx = SimpleNamespace(
        name="anvil", client=None, ledger=books.ledger, policy=Policy(gather=timedelta(0)),
        settings=SettlementSettings(sweep_minimum="2"), chain=books.ledger.catalogue.chain("anvil"),
    )  # fmt: skip
    token = books.ledger.catalogue.token("anvil", "USDC")
    rounds = DepositRounds(most=2)

    async def looks(count: int) -> list[list[Address]]:
        kept = [
            await chosen_deposits(cast("Context", ctx), token, rounds=rounds) for _ in range(count)
        ]
        return [[d.address for d in chosen] for chosen in kept if chosen]

    assert await looks(5) == [[worth]]
    sums = await sum_deposits(cast("Any", None), books.ledger, ctx.settings, token, DELEGATION_GAS)
    assert (sums[Waits.SMALL], sums[Waits.SOON]) == ((4, 4 * DUST), (1, WORTH))

    async with books.ledger.transaction() as tx:
        owed = NewPayout("mer_2", "anvil", "USDC", WORTH, Address(b"\xdd" * 20))
        await create_payouts(tx, [owed])
    assert await looks(10) == [[worth]] * 2, "a payout needs it: the worthwhile one, no dust"
    async with books.ledger.transaction() as tx:
        await hold(tx, "batch", "address", f"anvil/{worth.hex()}", "stuck")
    taken = await looks(15)
    assert taken, "nothing else is left: now dust goes along"
    assert all(worth not in chosen for chosen in taken)
