"""Presigned addresses in the books: whole files, handed out in order, never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.errors import InvalidInputError, WalletError
from config.units import Address, Hash32
from ledger.holds import hold, open_places
from ledger.installation import raise_index
from ledger.invoices import InvoiceSpec, create_invoices, load_views
from ledger.journal import PRESIGNED_STEP, open_journal
from ledger.presigned import (
    NEEDS_SIGNATURE,
    PresignedRow,
    PresignedSource,
    complete_sets,
    mark_checked,
    open_sets,
    other_addresses,
    presigned_left,
    presigned_sets_of,
    release_signed,
    store_presigned,
    stored_authorizations,
)
from ledger.schema import address_counter, deposit_addresses, invoice_options, invoices
from tests.support.books import Books

CHAIN_ID = 31337
OTHER_ID = 31338
DELEGATE = Address(bytes([0xDE]) * 20)
CODE = Hash32(bytes([0xC0]) * 32)


def address(index: int) -> Address:
    return Address(bytes([0xA0]) * 16 + index.to_bytes(4))


async def bring(
    books: Books,
    first: int,
    count: int,
    chain_ids: tuple[int, ...] = (CHAIN_ID,),
    *,
    complete: bool = True,
) -> int:
    """What an import does after it has verified a file."""
    async with books.ledger.transaction() as tx:
        sets = await open_sets(tx, chain_ids, DELEGATE, CODE, first)
        rows = [
            PresignedRow(i, address(i), {s.id: bytes([i % 256]) * 65 for s in sets})
            for i in range(first, first + count)
        ]
        await store_presigned(tx, rows)
    if not complete:
        return 0
    async with books.ledger.transaction() as tx:
        return await complete_sets(tx, [s.id for s in sets], first, count)


async def checked(books: Books, chain_id: int = CHAIN_ID, *, good: bool = True) -> None:
    async with books.ledger.transaction() as tx:
        await mark_checked(tx, chain_id, DELEGATE, good=good)


async def invoice(
    books: Books,
    count: int = 1,
    *,
    chosen: bool = False,
    mark: Callable[[int, int], None] = lambda first, count: None,
) -> list[Address]:
    catalogue = books.ledger.catalogue
    spec = InvoiceSpec(
        amount=1_000000,
        currency="USD",
        options=tuple(t for t in catalogue if not t.flagged),
        expires_at=books.clock.now() + timedelta(minutes=30),
        monitor_until=books.clock.now() + timedelta(hours=24),
        chosen=chosen,
    )
    source = PresignedSource(mark)
    async with books.ledger.transaction() as tx:
        ids = await create_invoices(tx, "mer_1", [spec] * count, source)
        views = await load_views(tx, ids)
    return [Address(bytes.fromhex(views[i]["address"][2:])) for i in ids]


async def test_invoices__many_at_once__addresses_in_order_and_each_once(books: Books) -> None:
    await bring(books, 0, 12)
    await checked(books)
    given = await asyncio.gather(*(invoice(books) for _ in range(10)))
    assert sorted(a for (a,) in given) == [address(i) for i in range(10)]
    async with books.ledger.reading() as tx:
        rows = (await tx.conn.execute(sa.select(deposit_addresses))).all()
        assert await presigned_left(tx) == {CHAIN_ID: 2}
    assert {r.derivation_index: r.address for r in rows} == {i: address(i) for i in range(10)}


async def test_invoices__none_left__refused_and_the_last_one_still_given(books: Books) -> None:
    await bring(books, 0, 3)
    await checked(books)
    await invoice(books, 2)
    with pytest.raises(WalletError, match="2 wanted and 1 left"):
        await invoice(books, 2)
    assert await invoice(books) == [address(2)]
    with pytest.raises(WalletError, match="none is left"):
        await invoice(books)
    await bring(books, 3, 1)
    assert await invoice(books) == [address(3)]


async def test_invoices__index_raised_by_the_journal__lower_ones_never_given(books: Books) -> None:
    await bring(books, 0, 10)
    await checked(books)
    async with books.ledger.transaction() as tx:
        await raise_index(tx, 7)
    assert await invoice(books) == [address(7)]


async def test_f20_invoices__database_restored__what_the_journal_marked_is_not_given_again(
    books: Books, tmp_path: Path
) -> None:
    await bring(books, 0, 60)
    await checked(books)
    journal = open_journal(tmp_path / "j", "inst")
    mark = partial(journal.reserve_indexes, step=PRESIGNED_STEP)
    given = [await invoice(books, mark=mark) for _ in range(3)]
    reopened = open_journal(tmp_path / "j", "inst")
    first = reopened.next_index
    assert 3 <= first <= 3 + PRESIGNED_STEP
    async with books.ledger.transaction() as tx:  # as the database stood before them
        await tx.conn.execute(address_counter.update().values(next_index=0))
        await tx.conn.execute(deposit_addresses.delete())
        assert await raise_index(tx, first)
    mark = partial(reopened.reserve_indexes, step=PRESIGNED_STEP)
    assert await invoice(books, mark=mark) == [address(first)]
    assert [address(first)] not in given


async def test_invoices__before_the_code_was_checked__refused(books: Books) -> None:
    await bring(books, 0, 3)
    with pytest.raises(WalletError, match="checked"):
        await invoice(books)
    await checked(books, good=False)
    with pytest.raises(WalletError, match="checked"):
        await invoice(books)
    await checked(books)
    assert await invoice(books) == [address(0)]


async def test_invoices__half_imported__nothing_is_usable(books: Books) -> None:
    await bring(books, 0, 2)
    await checked(books)
    await bring(books, 2, 5, complete=False)
    await invoice(books, 2)
    with pytest.raises(WalletError, match="none is left"):
        await invoice(books)
    async with books.ledger.reading() as tx:
        assert not await stored_authorizations(tx, CHAIN_ID, DELEGATE, [address(3)])
    assert await bring(books, 2, 5) == 5
    assert await invoice(books) == [address(2)]


async def test_import__again_and_overlapping__adds_what_is_new(books: Books) -> None:
    assert await bring(books, 0, 5) == 5
    assert await bring(books, 0, 5) == 0
    assert await bring(books, 3, 6) == 4
    async with books.ledger.reading() as tx:
        (known,) = await presigned_sets_of(tx)
    assert (known.first_index, known.next_index) == (0, 9)


async def test_import__with_a_gap_or_other_code__refused(books: Books) -> None:
    await bring(books, 0, 5)
    with pytest.raises(InvalidInputError, match="begins with index 6"):
        await bring(books, 6, 2)
    async with books.ledger.transaction() as tx:
        with pytest.raises(InvalidInputError, match="another code"):
            await open_sets(tx, [CHAIN_ID], DELEGATE, Hash32(bytes(32)), 0)


async def test_import__one_address_under_two_indexes__never_usable(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        sets = await open_sets(tx, [CHAIN_ID], DELEGATE, CODE, 0)
        row = {sets[0].id: bytes(65)}
        await store_presigned(tx, [PresignedRow(0, address(0), row)])
        with pytest.raises(InvalidInputError, match="1 of its addresses"):
            await complete_sets(tx, [sets[0].id], 0, 2)
    async with books.ledger.reading() as tx:
        (known,) = await presigned_sets_of(tx)
    assert known.next_index == 0


async def test_import__of_another_seed__its_indexes_are_named(books: Books) -> None:
    await bring(books, 0, 3)
    async with books.ledger.reading() as tx:
        assert not await other_addresses(tx, [(1, address(1)), (5, address(50))])
        assert await other_addresses(tx, [(1, address(1)), (2, address(9))]) == [2]


async def test_import__that_begins_higher__the_counter_follows(books: Books) -> None:
    await bring(books, 100, 3)
    await checked(books)
    assert await invoice(books) == [address(100)]


async def test_options__chain_without_signatures__left_out_unless_it_was_chosen(
    books: Books,
) -> None:
    await bring(books, 0, 4, (OTHER_ID,))
    await checked(books, OTHER_ID)
    with pytest.raises(InvalidInputError, match="anvil is not available"):
        await invoice(books, chosen=True)
    assert await offered(books) == {"other"}
    await bring(books, 0, 2)
    await checked(books)
    await invoice(books, chosen=True)
    # Index 2 is signed for the other chain only.
    assert await offered(books) == {"other"}
    await bring(books, 2, 2)
    assert await offered(books) == {"anvil", "other"}


async def offered(books: Books) -> set[str]:
    """The chains of a new invoice."""
    (deposit,) = await invoice(books)
    query = (
        sa.select(invoice_options.c.chain)
        .join(invoices, invoices.c.id == invoice_options.c.invoice_id)
        .where(invoices.c.address == deposit)
    )
    async with books.ledger.reading() as tx:
        return set((await tx.conn.execute(query)).scalars())


async def test_mark_checked__another_delegate_on_the_chain__is_out_of_use(books: Books) -> None:
    await bring(books, 0, 4)
    await checked(books)
    async with books.ledger.transaction() as tx:
        await mark_checked(tx, CHAIN_ID, Address(bytes([0xEE]) * 20), good=True)
    with pytest.raises(WalletError, match="checked"):
        await invoice(books)


async def test_release_signed__after_an_import__ends_only_what_it_signed(books: Books) -> None:
    places = {i: f"anvil/{address(i).hex()}" for i in (1, 8)}
    async with books.ledger.transaction() as tx:
        for place in places.values():
            await hold(tx, "batch", "address", place, NEEDS_SIGNATURE)
        await hold(tx, "batch", "address", f"anvil/{address(2).hex()}", "strange")
    await bring(books, 0, 4)
    await checked(books)
    async with books.ledger.transaction() as tx:
        assert await release_signed(tx, "anvil", CHAIN_ID, DELEGATE) == 1
        left = await open_places(tx, "batch", "anvil/")
    assert left == {places[8], f"anvil/{address(2).hex()}"}
