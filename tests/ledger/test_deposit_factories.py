"""Addresses without keys in the books: offered where the factory was seen, never twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.errors import InvalidInputError, WalletError
from config.units import Address
from ledger.deposit_factories import FactorySource, FoundFactory, found_factories, note_factory
from ledger.installation import raise_index
from ledger.invoices import InvoiceSpec, create_invoices, load_views
from ledger.journal import INDEX_STEP, open_journal
from ledger.schema import address_counter, deposit_addresses
from tests.support.books import Books

CHAIN_ID = 31337
OTHER_ID = 31338
FACTORY, OTHER, FORWARDER = (Address(bytes([n]) * 20) for n in (0xFA, 0xFB, 0xF0))


def addresses(factory: Address, forwarder: Address, first: int, count: int) -> list[Address]:
    seed = bytes([factory[0], forwarder[0]]) * 8
    return [Address(seed + index.to_bytes(4)) for index in range(first, first + count)]


async def seen(
    books: Books, chain_id: int = CHAIN_ID, *, factory: Address = FACTORY, good: bool = True
) -> None:
    async with books.ledger.transaction() as tx:
        await note_factory(tx, chain_id, factory, FORWARDER, good=good)


async def invoice(
    books: Books,
    count: int = 1,
    *,
    chosen: bool = False,
    own: Address | None = FACTORY,
    mark: Callable[[int, int], None] = lambda first, count: None,
) -> tuple[list[Address], set[str]]:
    """Addresses, and the chains that the first of the invoices offers."""
    spec = InvoiceSpec(
        amount=1_000000,
        currency="USD",
        options=tuple(t for t in books.ledger.catalogue if not t.flagged),
        expires_at=books.clock.now() + timedelta(minutes=30),
        monitor_until=books.clock.now() + timedelta(hours=24),
        chosen=chosen,
    )
    source = FactorySource(addresses, mark, own)
    async with books.ledger.transaction() as tx:
        ids = await create_invoices(tx, "mer_1", [spec] * count, source)
        views = await load_views(tx, ids)
    offered = {option["chain"] for option in views[ids[0]]["options"]}
    return [Address(bytes.fromhex(views[i]["address"][2:])) for i in ids], offered


async def test_invoices__factory_seen_on_one_chain__the_other_is_left_out(books: Books) -> None:
    with pytest.raises(WalletError, match="no chain's deposit factory"):
        await invoice(books)
    await seen(books, OTHER_ID)
    assert await invoice(books, 2) == (addresses(FACTORY, FORWARDER, 0, 2), {"other"})
    with pytest.raises(InvalidInputError, match="anvil is not available: the deposit factory"):
        await invoice(books, chosen=True)
    await seen(books)
    assert await invoice(books, chosen=True) == (
        addresses(FACTORY, FORWARDER, 2, 1),
        {"anvil", "other"},
    )
    await seen(books, OTHER_ID, good=False)
    assert (await invoice(books))[1] == {"anvil"}


async def test_note_factory__another_factory__the_first_is_out_of_use_everywhere(
    books: Books,
) -> None:
    """One invoice has one address: it must mean the same on every chain that it names."""
    await seen(books)
    await seen(books, OTHER_ID, factory=OTHER)
    async with books.ledger.reading() as tx:
        found = await found_factories(tx)
    assert [f.checked_at is None for f in found] == [True, False]
    assert found[0] == FoundFactory(CHAIN_ID, FACTORY, FORWARDER, None)
    assert await invoice(books, own=None) == (addresses(OTHER, FORWARDER, 0, 1), {"other"})
    with pytest.raises(WalletError, match="the books hold the factory"):
        await invoice(books)


async def test_f20_invoices__database_restored__what_the_journal_marked_is_not_given_again(
    books: Books, tmp_path: Path
) -> None:
    await seen(books)
    journal = open_journal(tmp_path / "j", "inst")
    given, _ = await invoice(books, 3, mark=journal.reserve_indexes)
    reopened = open_journal(tmp_path / "j", "inst")
    first = reopened.next_index
    assert first == 3 + INDEX_STEP
    async with books.ledger.transaction() as tx:  # as the database stood before them
        await tx.conn.execute(address_counter.update().values(next_index=0))
        await tx.conn.execute(deposit_addresses.delete())
        assert await raise_index(tx, first)
    again, _ = await invoice(books, mark=reopened.reserve_indexes)
    assert again == addresses(FACTORY, FORWARDER, first, 1)
    async with books.ledger.reading() as tx:
        rows = (await tx.conn.execute(sa.select(deposit_addresses))).all()
    assert [r.derivation_index for r in rows] == [first]
    assert not set(given) & set(again)


async def test_invoices__journal_cannot_be_written__nothing_is_handed_out(books: Books) -> None:
    await seen(books)

    def full(first: int, count: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        await invoice(books, mark=full)
    assert (await invoice(books))[0] == addresses(FACTORY, FORWARDER, 0, 1)
