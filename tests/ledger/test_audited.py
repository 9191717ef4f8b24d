"""What has to lie at a deposit address, by the books, while payments and sweeps come and go."""

from __future__ import annotations

from config.units import Address, Hash32
from ledger.attempts import NewAttempt, store_attempt
from ledger.audit import deposit_holders, ignored_amounts
from ledger.audited import Span, audited_after, audited_one, expected_at, note_native
from ledger.batches import NewBatch, seal_batch
from ledger.payment_rows import PaymentPolicy
from ledger.schema import batches, sweep_items, transactions
from ledger.states import PaymentStatus
from ledger.sweeps import seal_items, unswept_deposits
from tests.support.books import BRIDGED, STRANGER_TOKEN, USDC, USDT, Books, digest


async def span(books: Books, address: Address, token: Address = USDC, block: int = 10) -> Span:
    async with books.ledger.reading() as tx:
        page = await audited_after(tx, "anvil", -1, 100, 1)
        return (await expected_at(tx, "anvil", page, block)).get((address, token), Span())


async def seal(books: Books) -> int:
    async with books.ledger.transaction() as tx:
        batch_id = await seal_batch(
            tx,
            NewBatch("anvil", "sweeps", "sweep", "USDC", digest("content"), USDC, b"", 1, 5),
        )
        await seal_items(tx, "anvil", batch_id, (await unswept_deposits(tx, "anvil", "USDC"))[0])
    return batch_id


async def test_expected__seen_confirmed_held_dust_flagged__all_lie_there(books: Books) -> None:
    books.policy = PaymentPolicy(dust=100)
    _, address = await books.invoice(tokens=(("anvil", "USDC"),))
    found = [(USDC, 5_000000), (USDC, 99), (USDT, 7), (USDT, 2_000000), (BRIDGED, 3)]
    for number, (token, units) in enumerate(found):
        await books.record(
            books.sighting(address, units, token_address=token, tx_hash=digest(number))
        )
    await books.record(books.sighting(address, 0, tx_hash=digest("zero")))
    await books.record(books.sighting(address, 8, malformed=True, tx_hash=digest("malformed")))
    assert await span(books, address) == Span(5_000099, 5_000099)
    assert await span(books, address, USDT) == Span(2_000007, 2_000007)
    assert await span(books, address, BRIDGED) == Span(3, 3)
    assert await span(books, address, STRANGER_TOKEN) == Span()


async def test_expected__orphaned_or_reversed__does_not(books: Books) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    await books.advance(books.block(1))
    await books.rewind_to(books.block(0))
    assert await span(books, address) == Span()


async def test_f01_expected__dust_leaves_with_its_block__and_comes_back__counted_while_it_is_there(
    books: Books,
) -> None:
    books.policy = PaymentPolicy(dust=100)
    _, address = await books.invoice()
    dust = books.sighting(address, 99)

    async def counted() -> tuple[Span, dict[str, int]]:
        async with books.ledger.reading() as tx:
            return await span(books, address), await ignored_amounts(tx, "anvil")

    await books.record(dust)
    await books.advance(books.block(1))
    assert await counted() == (Span(99, 99), {"USDC": 99})
    await books.rewind_to(books.block(0))
    assert await counted() == (Span(), {"USDC": 0})
    await books.advance(books.block(1))
    assert (await counted())[0] == Span(99, 99), "the first branch has won again"
    await books.rewind_to(books.block(0))
    other = [books.block(1, "b"), books.block(2, "b")]
    await books.record(books.sighting(address, 99, block=other[1], log_index=7))
    await books.advance(*other)
    assert await counted() == (Span(99, 99), {"USDC": 99})
    await books.rewind_to(other[0])
    assert await counted() == (Span(), {"USDC": 0}), "of the block that it came back in, too"


async def test_expected__sweep_sealed_then_mined_then_final__by_its_block(books: Books) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    await books.confirm_all(PaymentStatus.CONFIRMED)
    batch_id = await seal(books)
    assert await span(books, address) == Span(0, 5_000000)
    async with books.ledger.transaction() as tx:
        await store_attempt(
            tx,
            NewAttempt(
                chain="anvil", lane="sweeps", sender=USDT, nonce=0, attempt=0, purpose="sweep",
                batch_id=batch_id, tx_hash=Hash32(digest("sweep")), raw=b"\x02", gas_limit=1,
                max_fee=1, max_tip=1,
            ),
        )  # fmt: skip
        for status in ("broadcast", "mined", "final"):
            await tx.conn.execute(
                transactions.update().values(
                    status=status, block_number=8, block_hash=digest(8), broadcast_at=tx.now
                )
            )
        await tx.conn.execute(sweep_items.update().values(status="swept"))
    # The books know more than the block that is asked about.
    assert await span(books, address, block=7) == Span(0, 5_000000)
    assert await span(books, address, block=8) == Span(0, 0)


async def test_audited__life_begins_where_it_was_handed_out__or_with_the_chain(
    books: Books,
) -> None:
    invoice, address = await books.invoice()
    async with books.ledger.transaction() as tx:
        await note_native(tx, "anvil", {invoice: 10**30})
        await note_native(tx, "other", {invoice: 7})
    async with books.ledger.reading() as tx:
        here = await audited_one(tx, "anvil", address, 1)
        elsewhere = await audited_one(tx, "other", address, 4)
        nobody = await audited_one(tx, "anvil", USDC, 1)
    assert here is not None and elsewhere is not None and nobody is None
    assert (here.life_began, here.native, here.index) == (1, 10**30, 0)
    assert (elsewhere.life_began, elsewhere.native) == (4, 7)
    async with books.ledger.transaction() as tx:
        await note_native(tx, "anvil", {invoice: 0})
    assert (await books.view(invoice))["native_coin"] == [
        {"chain": "other", "symbol": "ETH", "amount": "0.000000000000000007"}
    ]


async def test_holders__what_lies_somewhere__whatever_its_state_and_no_address_that_was_swept(
    books: Books,
) -> None:
    books.policy = PaymentPolicy(dust=100)
    addresses = [(await books.invoice())[1] for _ in range(4)]
    swept, sealed, dusty, seen = addresses

    async def holders(emptied: int | None) -> list[Address]:
        async with books.ledger.reading() as tx:
            found = await deposit_holders(tx, "anvil", emptied)
        assert found.keys() <= {"USDC"}
        return found.get("USDC", [])

    await books.record(books.sighting(swept, 5_000000, tx_hash=digest("swept")))
    assert await holders(0) == [swept], "seen"
    await books.confirm_all(PaymentStatus.CONFIRMED)
    assert await holders(0) == [swept], "confirmed"
    batch_id = await seal(books)
    assert await holders(0) == [swept], "on its way"
    async with books.ledger.transaction() as tx:
        for status in ("submitted", "executed", "final"):
            await tx.conn.execute(batches.update().values(status=status))
        await tx.conn.execute(
            sweep_items.update().where(sweep_items.c.batch_id == batch_id).values(status="swept")
        )
    assert await holders(0) == []
    await books.record(books.sighting(sealed, 5_000000, tx_hash=digest("sealed")))
    await books.confirm_all(PaymentStatus.CONFIRMED)
    await seal(books)
    await books.record(books.sighting(dusty, 7, tx_hash=digest("dusty")))
    await books.record(books.sighting(seen, 5_000000, tx_hash=digest("seen")))
    assert await holders(0) == sorted([sealed, dusty, seen])
    assert await holders(4) == await holders(None) == sorted(addresses)
