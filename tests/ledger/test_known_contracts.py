"""A symbol that comes to mean another contract, or a contract that gets another symbol: refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bursar.startup import ChainGate
from config.errors import ConfigError
from config.units import Address
from ledger.batches import NewBatch, seal_batch
from ledger.known_contracts import booked_contracts, check_contracts
from ledger.states import PaymentStatus
from ledger.sweeps import finish_items, items_of_batches, seal_items, unswept_deposits
from tests.support.books import STRANGER_TOKEN, USDC, Books, digest, test_catalogue, token


async def booked(books: Books) -> dict[str, set[Address]]:
    async with books.ledger.reading() as tx:
        return await booked_contracts(tx, "anvil")


@pytest.mark.parametrize("status", [None, PaymentStatus.CONFIRMED])
async def test_other_contract__money_of_the_old_one_is_booked__refused(
    books: Books, status: PaymentStatus | None
) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    if status is not None:
        await books.confirm_all(status)
    found = await booked(books)
    assert found == {"USDC": {USDC}}
    check_contracts(books.ledger.catalogue, "anvil", found)
    with pytest.raises(ConfigError, match=r"the books hold USDC as 0x1111\w+, not as 0x5555"):
        check_contracts(test_catalogue(usdc=token("USDC", STRANGER_TOKEN)), "anvil", found)
    with pytest.raises(ConfigError, match=r"the books hold 0x1111\w+ as USDC.*call it USDC again"):
        check_contracts(test_catalogue(usdc=token("USDbC", USDC)), "anvil", found)
    # Out of the configuration altogether: it waits, and nothing is mixed.
    check_contracts(test_catalogue(usdc=token("NEW", STRANGER_TOKEN)), "anvil", found)


async def test_other_contract__money_of_the_old_one_in_the_treasury__refused(books: Books) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    await books.confirm_all()
    async with books.ledger.transaction() as tx:
        new = NewBatch("anvil", "sweeps", "sweep", "USDC", digest("content"), USDC, b"", 1, 5)
        batch_id = await seal_batch(tx, new)
        await seal_items(tx, "anvil", batch_id, (await unswept_deposits(tx, "anvil", "USDC"))[0])
        await finish_items(tx, await items_of_batches(tx, [batch_id]), {}, {})
    assert await booked(books) == {"USDC": {USDC}}


async def test_other_contract__nothing_lies_anywhere__allowed(books: Books) -> None:
    """As after a mistake that nobody has paid in, or once everything was taken back."""
    assert await booked(books) == {}
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    await books.confirm_all(PaymentStatus.ORPHANED)
    assert await booked(books) == {}


async def test_start__other_contract_under_a_booked_symbol__refused_before_any_chain_is_asked(
    books: Books,
) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    catalogue = test_catalogue(usdc=token("USDC", STRANGER_TOKEN))
    house: Any = SimpleNamespace(ledger=books.ledger, catalogue=catalogue, chains={})
    gate = ChainGate(house, catalogue.chain("anvil"))
    with pytest.raises(ConfigError, match="give the other contract a symbol of its own"):
        await gate.check()
    assert gate.reason is not None and "token USDC" in gate.reason
