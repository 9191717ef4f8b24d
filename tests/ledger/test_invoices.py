"""Opening invoices: an address each, never twice, whatever runs at the same time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.catalogue import Catalogue
from config.chains import ChainSettings
from ledger.expiry import expire_due
from ledger.invoices import cancel_invoice
from ledger.schema import deposit_addresses, events
from tests.support.books import DAI, USDC, Books, digest, token


async def test_create__many_at_once__every_address_once_and_no_index_skipped(books: Books) -> None:
    await asyncio.gather(*(books.invoice() for _ in range(20)))
    async with books.ledger.reading() as tx:
        rows = (await tx.conn.execute(sa.select(deposit_addresses))).all()
    assert sorted(row.derivation_index for row in rows) == list(range(20))
    assert len({row.address for row in rows}) == 20
    assert all(row.watch_from == {"anvil": 1} for row in rows)


async def test_create__after_the_cursor_moved__watched_from_the_next_block(books: Books) -> None:
    await books.advance(books.block(1), books.block(2))
    await books.invoice()
    async with books.ledger.reading() as tx:
        assert await tx.conn.scalar(sa.select(deposit_addresses.c.watch_from)) == {"anvil": 3}


async def test_expire_due__past_deadline__expired_once(books: Books) -> None:
    invoice, _ = await books.invoice(expires_in=timedelta(minutes=1))
    for seconds, expected in ((59, 0), (2, 1), (10, 0)):
        books.clock.advance(seconds)
        async with books.ledger.transaction() as tx:
            assert await expire_due(tx, books.tolerance) == expected
    assert (await books.view(invoice))["status"] == "expired"
    async with books.ledger.reading() as tx:
        types = list((await tx.conn.execute(sa.select(events.c.type))).scalars())
    assert types == ["invoice.created", "invoice.expired"]


async def test_expire_due__partly_paid__underpaid_and_told_once(books: Books) -> None:
    invoice, address = await books.invoice(expires_in=timedelta(minutes=1))
    await books.record(books.sighting(address, 4_000000))
    books.clock.advance(61)
    for expected in (1, 0):
        async with books.ledger.transaction() as tx:
            assert await expire_due(tx, books.tolerance) == expected
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == ("partially_paid", ["underpaid"])


async def test_cancel__then_paid__credited_all_the_same(books: Books) -> None:
    invoice, address = await books.invoice()
    async with books.ledger.transaction() as tx:
        await cancel_invoice(tx, invoice, books.tolerance)
    assert (await books.view(invoice))["status"] == "canceled"
    await books.record(books.sighting(address, 10_000000))
    assert (await books.view(invoice))["status"] == "processing"


async def test_f25_invoice__paid_in_parts_finer_than_a_micro__exactly_paid(books: Books) -> None:
    """Tokens of 18 decimals; rounded one by one, the three would be a micro short of it."""
    invoice, address = await books.invoice(10_000000)
    third = 10 * 10**18 // 3
    dai = {"token_address": DAI}
    await books.record(books.sighting(address, third, **dai))
    await books.record(books.sighting(address, third + 1, **dai))
    view = await books.view(invoice)
    offered = {option["token"]: option for option in view["options"]}  # type: ignore[attr-defined]
    assert (offered["USDC"]["amount_due"], offered["DAI"]["amount_due"]) == ("3.333334",) * 2
    await books.record(books.sighting(address, third, tx_hash=digest("third"), **dai))
    await books.confirm_all()
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == ("paid", [])
    assert {option["amount_due"] for option in view["options"]} == {"0.00"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cents", "status", "exceptions"),
    [(1_000, "partially_paid", []), (1_001, "paid", []), (1_002, "paid", ["overpaid"])],
)
async def test_f25_invoice__price_rounded_up_for_a_token_in_cents__who_pays_it_has_paid_exactly(
    books: Books, cents: int, status: str, exceptions: list[str]
) -> None:
    chain = {
        "name": "anvil",
        "chain_id": 31337,
        "rpc_urls": ["http://127.0.0.1:1"],
        "finality": {"confirmations": 3},
        "tokens": [token("USDC", USDC, 2)],
    }
    books.ledger.catalogue = Catalogue([ChainSettings.model_validate(chain)])
    invoice, address = await books.invoice(10_001000, tokens=[("anvil", "USDC")])
    (option,) = (await books.view(invoice))["options"]  # type: ignore[misc]
    assert option["amount"] == "10.01"
    await books.record(books.sighting(address, cents))
    await books.confirm_all()
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == (status, exceptions)


async def test_view__token_taken_out_of_the_configuration__invoice_still_readable(
    books: Books,
) -> None:
    invoice, address = await books.invoice()
    await books.record(books.sighting(address, 10_000000))
    chains = [
        chain.model_copy(update={"tokens": chain.tokens[1:]})
        for chain in books.ledger.catalogue.chains
    ]
    books.ledger.catalogue = Catalogue(chains)
    view = await books.view(invoice)
    assert [option["token"] for option in view["options"]] == ["USDT", "DAI"]  # type: ignore[attr-defined]
    assert view["payments"][0]["amount"] == "10000000"  # type: ignore[index]
