"""Another seed under addresses that people are paying to: refused before more are handed out."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from bursar.startup import check_deposit_xpub
from config.errors import ConfigError
from config.units import Address
from ledger.deposit_factories import note_factory
from ledger.invoices import cancel_invoice
from ledger.presigned import PresignedRow, store_presigned
from ledger.schema import deposit_addresses
from tests.support.books import Books
from wallets.create2 import CloneDeriver
from wallets.derivation import DepositDeriver
from wallets.keyring import keyring_from_mnemonic

pytestmark = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
MNEMONIC = "test test test test test test test test test test test junk"
XPUB = str(keyring_from_mnemonic(MNEMONIC).deposit_xpub)
FACTORY, FORWARDER = Address(b"\xfa" * 20), Address(b"\xf0" * 20)


def house(books: Books) -> Any:
    wallets = SimpleNamespace(deposits="hd", deposit_xpub=XPUB, signer="keystore")
    settings = SimpleNamespace(wallets=wallets)
    return SimpleNamespace(ledger=books.ledger, settings=settings, secrets=None)


async def hand_out(books: Books, address: Address) -> None:
    """As if the newest invoice had been given this one."""
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(deposit_addresses.update().values(address=address))


async def test_other_seed__an_invoice_may_still_be_paid__refused(books: Books) -> None:
    await check_deposit_xpub(house(books))  # nothing was handed out yet
    invoice, _ = await books.invoice()
    with pytest.raises(ConfigError, match=r"deposit address 0, 0x\w+, is of another seed"):
        await check_deposit_xpub(house(books))
    await hand_out(books, DepositDeriver(XPUB).address(0))
    await check_deposit_xpub(house(books))
    await hand_out(books, Address(b"\x01" * 20))
    async with books.ledger.transaction() as tx:
        await cancel_invoice(tx, invoice, books.tolerance)
    await check_deposit_xpub(house(books))  # a new seed, on purpose


async def test_other_seed__money_lies_at_an_address_that_is_over__refused(books: Books) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    books.clock.advance(timedelta(days=3).total_seconds())
    with pytest.raises(ConfigError, match="cancel the invoices that are open"):
        await check_deposit_xpub(house(books))


async def test_other_kind_of_address__handed_out_before__is_of_no_seed_at_all(
    books: Books,
) -> None:
    _, address = await books.invoice()
    await hand_out(books, CloneDeriver(FACTORY, FORWARDER).address(0))
    async with books.ledger.transaction() as tx:
        await note_factory(tx, 31337, FACTORY, FORWARDER, good=True)
    await check_deposit_xpub(house(books))
    await hand_out(books, address)
    async with books.ledger.transaction() as tx:
        await store_presigned(tx, [PresignedRow(0, address, {})])
    await check_deposit_xpub(house(books))
