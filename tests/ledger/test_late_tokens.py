"""A token that is registered after it was paid in: seen once more, what was ignored is money."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from config.units import Address
from ledger.audit import deposit_holders, ignored_amounts
from ledger.audited import Span, audited_after, expected_at, known_places
from ledger.books import all_totals, totals_of
from ledger.holds import open_holds, release_hold
from ledger.ignored import tallies_of
from ledger.late_tokens import late_blocks
from ledger.payment_rows import PaymentPolicy
from ledger.payments import TOKENS_CAP
from ledger.postings import AccountKind, AccountRef, Totals
from ledger.schema import events, payments
from tests.support.books import STRANGER_TOKEN, USDC, Books, digest, test_catalogue, token

ONE_DATABASE = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
"""What is tried here is decided before a database is asked."""


def register(books: Books, *, flagged: bool = False, also: bool = True) -> None:
    """As a restart with another configuration; ``also`` false: without the token."""
    more = [token("NEW", STRANGER_TOKEN, flagged=flagged)] if also else []
    books.ledger.catalogue = test_catalogue(*more)


async def late(books: Books, highest: int = 10) -> list[int]:
    async with books.ledger.reading() as tx:
        return await late_blocks(tx, "anvil", highest)


async def span(books: Books) -> Span:
    async with books.ledger.reading() as tx:
        page = await audited_after(tx, "anvil", -1, 100, 1)
        return (await expected_at(tx, "anvil", page, 10)).get(
            (page[0].address, STRANGER_TOKEN), Span()
        )


async def new_totals(books: Books, kind: AccountKind) -> Totals:
    ref = AccountRef(kind, "anvil", "NEW", "mer_1")
    async with books.ledger.reading() as tx:
        return (await totals_of(tx, [ref])).get(ref, Totals())


async def test_registered_since__not_offered__held_until_released_then_the_merchants(
    books: Books,
) -> None:
    invoice, address = await books.invoice(tokens=(("anvil", "USDC"),))
    seen = books.sighting(address, 10_000000, token_address=STRANGER_TOKEN)
    assert (await books.record(seen)).ignored == 1
    assert (await late(books), await span(books)) == ([], Span(10_000000, 10_000000))
    register(books)
    # Nothing is credited for the configuration alone; the audit misses what is there.
    assert (await late(books), await span(books)) == ([1], Span())
    async with books.ledger.reading() as tx:
        place = (seen.block_hash, seen.log_index)
        assert await known_places(tx, "anvil", [place]) == set()
        assert await all_totals(tx) == {}
    recorded = await books.record(seen)
    assert (recorded.held, recorded.duplicates, recorded.found) == (1, 0, 1)
    assert (await books.record(seen)).duplicates == 1
    (payment,) = (await books.view(invoice))["payments"]  # type: ignore[misc]
    assert (payment["status"], payment["reason"]) == ("detected", "wrong_token")
    assert (payment["token"], payment["amount"]) == ("NEW", "10.00")
    assert (await late(books), await span(books)) == ([], Span(10_000000, 10_000000))
    async with books.ledger.reading() as tx:
        assert await known_places(tx, "anvil", [place]) == {place}
        (hold,) = await open_holds(tx)
    await books.confirm_all()
    assert await new_totals(books, AccountKind.HELD) == Totals(credits_posted=10_000000)
    async with books.ledger.transaction() as tx:
        await release_hold(tx, hold.id)
    assert (await new_totals(books, AccountKind.MERCHANT)).credits_posted == 10_000000
    view = await books.view(invoice)
    assert view["status"] == "paid"
    async with books.ledger.reading() as tx:
        query = sa.select(events.c.type).where(events.c.type.like("payment.%"))
        assert list((await tx.conn.execute(query.order_by(events.c.seq))).scalars()) == [
            "payment.ignored",
            "payment.detected",
            "payment.confirmed",
        ]


async def test_registered_again__the_invoice_offered_it__credited_and_no_longer_a_wrong_token(
    books: Books,
) -> None:
    """Out of the configuration for a while, as after a mistake in the file."""
    register(books)
    invoice, address = await books.invoice(tokens=(("anvil", "NEW"),))
    register(books, also=False)
    seen = books.sighting(address, 10_000000, token_address=STRANGER_TOKEN)
    await books.record(seen)
    assert (await books.view(invoice))["exceptions"] == ["wrong_token"]
    register(books)
    await books.record(seen)
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == ("processing", [])
    await books.confirm_all()
    assert (await books.view(invoice))["status"] == "paid"
    assert (await new_totals(books, AccountKind.MERCHANT)).credits_posted == 10_000000


@ONE_DATABASE
async def test_registered_since__in_another_block_now__credited_there_and_taken_back_with_it(
    books: Books,
) -> None:
    _, address = await books.invoice(tokens=(("anvil", "USDC"),))
    seen = books.sighting(address, 10_000000, token_address=STRANGER_TOKEN)
    await books.record(seen)
    register(books)
    other = books.block(1, "b")
    moved = replace(seen, block_hash=other.hash, log_index=4)
    assert (await books.record(moved)).held == 1
    await books.advance(other)
    await books.rewind_to(books.block(0))
    async with books.ledger.reading() as tx:
        row = (await tx.conn.execute(sa.select(payments))).one()
    assert (row.status, row.block_hash, row.log_index) == ("orphaned", other.hash, 4)
    assert await span(books) == Span()


async def test_registered_since__its_block_has_left_the_chain__not_asked_for(books: Books) -> None:
    _, address = await books.invoice()
    seen = books.sighting(address, 10_000000, token_address=STRANGER_TOKEN)
    await books.advance(books.block(1))
    await books.record(seen)
    register(books)
    assert await late(books) == [1]
    assert await late(books, highest=0) == []
    await books.rewind_to(books.block(0))
    assert (await late(books), await span(books)) == ([], Span())


@ONE_DATABASE
async def test_registered_since__too_little__dust_and_counted_as_such(books: Books) -> None:
    invoice, address = await books.invoice()
    seen = books.sighting(address, 99, token_address=STRANGER_TOKEN)
    await books.record(seen)
    register(books)
    books.policy = PaymentPolicy(dust=100)
    recorded = await books.record(seen)
    assert (recorded.ignored, recorded.found, await late(books)) == (1, 0, [])
    (payment,) = (await books.view(invoice))["payments"]  # type: ignore[misc]
    assert (payment["status"], payment["reason"], payment["token"]) == ("ignored", "dust", "NEW")
    assert await span(books) == Span(99, 99)


@ONE_DATABASE
async def test_registered_since__counted_with_other_contracts__admitted_all_the_same(
    books: Books,
) -> None:
    """Beyond a hundred contracts at an address none has a tally of its own."""
    _, address = await books.invoice()
    many = [Address(digest(i)[:20]) for i in range(TOKENS_CAP)]
    found = [
        books.sighting(address, 5, tx_hash=digest(i), log_index=i, token_address=contract)
        for i, contract in enumerate([*many, STRANGER_TOKEN])
    ]
    await books.record(*found)
    register(books)
    assert await late(books) == [1]
    assert (await books.record(*found)).held == 1
    assert (await late(books), await span(books)) == ([], Span(5, 5))
    async with books.ledger.reading() as tx:
        tallies = await tallies_of(tx, [address])
    assert sum(tally.count for tally in tallies.values()) == TOKENS_CAP


@pytest.mark.parametrize("was_flagged", [False, True])
async def test_registered_since__not_seen_again_yet__explained_to_who_compares_the_books(
    books: Books, was_flagged: bool
) -> None:
    """A later payment to the address is asked for there: the difference would stop payouts."""
    if was_flagged:
        register(books, flagged=True)
    _, address = await books.invoice(tokens=(("anvil", "USDC"),))
    seen = books.sighting(address, 7_000000, token_address=STRANGER_TOKEN)
    await books.record(seen)

    async def compared() -> tuple[list[Address], int]:
        async with books.ledger.reading() as tx:
            holders = await deposit_holders(tx, "anvil", 4)
            assert await deposit_holders(tx, "anvil", None) == holders
            explained = await ignored_amounts(tx, "anvil")
        return holders.get("NEW", []), explained.get("NEW", 0)

    assert await compared() == ([], 0)
    register(books)
    assert await compared() == ([address], 7_000000)
    await books.record(seen)
    assert await compared() == ([address], 0)


@ONE_DATABASE
async def test_flagged__registered_since_as_a_look_alike__stays_ignored(books: Books) -> None:
    _, address = await books.invoice()
    seen = books.sighting(address, 7, token_address=STRANGER_TOKEN)
    await books.record(seen)
    register(books, flagged=True)
    assert (await late(books), await span(books)) == ([], Span(7, 7))
    assert (await books.record(seen)).duplicates == 1


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"token_address": STRANGER_TOKEN}, False),
        ({"token_address": USDC, "amount": 0}, True),
        ({"token_address": USDC, "malformed": True}, True),
    ],
    ids=["unsupported_token", "zero_value", "malformed"],
)
async def test_trigger__from_ignored__only_what_was_ignored_for_its_token(
    books: Books, changes: dict[str, object], refused: bool
) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 7, **changes))
    for status in ("confirmed", "confirming", "orphaned", "detected"):
        change = payments.update().values(status=status, token="USDC", confirmed_at=sa.func.now())
        if status == "detected" and not refused:
            async with books.ledger.transaction() as tx:
                await tx.conn.execute(change)
        else:
            with pytest.raises(Exception, match="no such status transition"):
                async with books.ledger.transaction() as tx:
                    await tx.conn.execute(change)
