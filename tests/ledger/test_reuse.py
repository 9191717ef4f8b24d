"""Deposit addresses that serve again: one invoice at a time, of one merchant, and none loses money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from config.units import Address
from ledger.audited import audited_one, expected_at
from ledger.batches import NewBatch, seal_batch
from ledger.holds import hold
from ledger.invoices import InvoiceSpec, create_invoices, load_views
from ledger.payment_moves import mark_final
from ledger.schema import invoices
from ledger.states import PaymentStatus
from ledger.sweeps import finish_items, items_of_batches, seal_items, unswept_deposits
from tests.support.books import USDC, Books, deposit_addresses, digest

REST = timedelta(hours=2)
MONITORED = timedelta(minutes=30, hours=24)


async def opened(
    books: Books, count: int = 1, merchant: str = "mer_1"
) -> list[tuple[str, Address]]:
    token = books.ledger.catalogue.token("anvil", "USDC")
    now = books.clock.now()
    spec = InvoiceSpec(10_000000, "USD", (token,), now + timedelta(minutes=30), now + MONITORED)
    async with books.ledger.transaction() as tx:
        ids = await create_invoices(tx, merchant, [spec] * count, deposit_addresses, reuse=REST)
        views = await load_views(tx, ids)
    return [(i, Address(bytes.fromhex(views[i]["address"][2:]))) for i in ids]


async def swept(books: Books) -> None:
    """Everything confirmed is final and in the treasury."""
    async with books.ledger.transaction() as tx:
        mark_final(tx, "anvil", 10**6)
        deposits, _ = await unswept_deposits(tx, "anvil", "USDC")
        batch = NewBatch(
            "anvil", "sweeps", "sweep", "USDC", digest("batch", len(deposits)),
            Address(b"\1" * 20), b"", len(deposits), 1,
        )  # fmt: skip
        batch_id = await seal_batch(tx, batch)
        await seal_items(tx, "anvil", batch_id, deposits)
        await finish_items(tx, await items_of_batches(tx, [batch_id]), {}, {})


async def later(books: Books, seconds: float, number: int = 5) -> None:
    """So much later, and the chain is read up to then."""
    books.clock.advance(seconds)
    await books.advance(books.block(number))


async def used(books: Books) -> tuple[str, Address]:
    """An invoice that was paid and swept long ago."""
    invoice, address = (await opened(books))[0]
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all()
    await swept(books)
    await later(books, (MONITORED + REST).total_seconds() + 1)
    return invoice, address


async def test_reuse__rested__serves_the_same_merchant_again__payments_go_by_their_blocks_time(
    books: Books,
) -> None:
    await books.merchant("mer_2")
    before = books.clock.now()
    first, address = await used(books)
    ((_, others),) = await opened(books, merchant="mer_2")
    assert others != address
    (second, again), (third, fresh) = await opened(books, 2)
    assert (again, fresh != address) == (address, True)

    books.clock.advance(200)
    paid = books.sighting(address, 10_000000, block=books.block(6), tx_hash=digest("new"))
    # Read late, by a rescan: its block is of the first invoice's time after it was monitored.
    late = books.sighting(address, 3_000000, block_time=before + MONITORED + REST / 2)
    recorded = await books.record(paid, late)
    assert (recorded.credited, recorded.held) == (1, 1)
    old, new = await books.view(first), await books.view(second)
    assert [p["reason"] for p in old["payments"]] == [None, "unmatched"]  # type: ignore[attr-defined]
    assert [p["amount"] for p in new["payments"]] == ["10.00"]  # type: ignore[attr-defined]
    assert (old["status"], new["status"]) == ("paid", "processing")
    assert old["address"] == new["address"]
    assert (await books.view(third))["status"] == "new"

    async with books.ledger.reading() as tx:
        audited = await audited_one(tx, "anvil", address, 0)
        assert audited is not None
        lies = await expected_at(tx, "anvil", [audited], 6)
    assert audited.invoice_id == second
    assert lies[(address, USDC)].least == 13_000000


async def test_reuse__reorg_after_it__each_payment_stays_with_its_invoice(books: Books) -> None:
    first, address = await used(books)
    ((second, again),) = await opened(books)
    assert again == address
    books.clock.advance(200)
    seen = books.sighting(address, 10_000000, block=books.block(6), tx_hash=digest("new"))
    await books.record(seen)
    await books.confirm_all(PaymentStatus.ORPHANED)
    books.clock.advance(12)
    await books.record(
        books.sighting(address, 10_000000, block=books.block(7), tx_hash=digest("new"))
    )
    assert (await books.view(second))["status"] == "processing"
    assert len((await books.view(first))["payments"]) == 1  # type: ignore[arg-type]


async def _unswept(books: Books, address: Address) -> None:
    await books.record(books.sighting(address, 5, tx_hash=digest("later")))
    await books.confirm_all()


async def _open(books: Books, address: Address) -> None:
    await books.record(books.sighting(address, 5, tx_hash=digest("later")))


async def _held(books: Books, address: Address) -> None:
    async with books.ledger.transaction() as tx:
        await hold(tx, "batch", "address", f"anvil/{address.hex()}", "strange")


async def _coin(books: Books, address: Address) -> None:
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(invoices.update().values(native_coin={"anvil": "1"}))


@pytest.mark.parametrize("happens", [_unswept, _open, _held, _coin])
async def test_reuse__something_still_happens_to_it__a_new_address(
    books: Books, happens: Callable[[Books, Address], Awaitable[None]]
) -> None:
    _, address = await used(books)
    await happens(books, address)
    assert (await opened(books))[0][1] != address


async def test_reuse__too_early__or_chain_not_read_that_far__a_new_address(books: Books) -> None:
    _, address = (await opened(books))[0]
    books.clock.advance((MONITORED + REST).total_seconds() - 1)
    assert (await opened(books))[0][1] != address
    books.clock.advance(2)
    assert (await opened(books))[0][1] != address  # the cursor stands where it stood
    await later(books, 3600)
    assert (await opened(books))[0][1] == address


async def test_reuse__third_invoice__only_after_the_second_ones_own_rest(books: Books) -> None:
    _, address = await used(books)
    assert (await opened(books))[0][1] == address
    await later(books, MONITORED.total_seconds() + 60, 6)
    assert (await opened(books))[0][1] != address
    await later(books, REST.total_seconds(), 7)
    assert (await opened(books))[0][1] == address


async def test_reuse__two_processes_at_once__each_address_once(books: Books) -> None:
    free = [address for _, address in await opened(books, 3)]
    await later(books, (MONITORED + REST).total_seconds() + 1)
    given = await asyncio.gather(*(opened(books, 2) for _ in range(4)))
    addresses = [address for some in given for _, address in some]
    assert len(set(addresses)) == 8
    assert set(free) <= set(addresses)


async def test_reuse__crash_before_the_commit__still_free(books: Books) -> None:
    invoice, address = await used(books)
    token = books.ledger.catalogue.token("anvil", "USDC")
    now = books.clock.now()
    spec = InvoiceSpec(1, "USD", (token,), now, now + MONITORED)
    with pytest.raises(RuntimeError):
        async with books.ledger.transaction() as tx:
            await create_invoices(tx, "mer_1", [spec], deposit_addresses, reuse=REST)
            raise RuntimeError
    assert (await opened(books))[0][1] == address
    assert (await books.view(invoice))["status"] == "paid"


async def test_reuse__switched_off__every_address_is_new(books: Books) -> None:
    _, address = await used(books)
    _, other = await books.invoice()
    assert other != address
