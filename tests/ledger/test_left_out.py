"""Chains and tokens that are open in the books and left out of the configuration are named."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from bursar.startup import tell_left_out
from config.catalogue import Catalogue
from ledger.left_out import LeftOut, left_out
from ledger.store import Ledger
from tests.support.books import Books, test_catalogue, token


async def named(books: Books, *catalogues: Catalogue) -> list[list[str]]:
    found = []
    for catalogue in catalogues:
        async with books.ledger.reading() as tx:
            there: list[LeftOut] = await left_out(dataclasses.replace(tx, catalogue=catalogue))
            found.append([f"{one.chain} {one.text}" for one in there])
    return found


async def test_chain_or_token_taken_out__with_something_open__is_named(books: Books) -> None:
    whole = test_catalogue()
    gone = Catalogue([whole.chain("other")])
    renamed = test_catalogue(usdc=token("USDX", b"\x77" * 20))
    assert await named(books, whole, gone, renamed) == [[], [], []], "nothing is open yet"
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    waits = "anvil is not configured: 1 payments and 0 payouts wait"
    assert await named(books, whole, gone, renamed) == [[], [waits], []]
    await books.confirm_all()
    lies = "anvil is not configured: 0 payments and 0 payouts wait; USDC lies there"
    token_gone = "anvil USDC lies there and is not configured"
    assert await named(books, whole, gone, renamed) == [[], [lies], [token_gone]]


async def test_start__chain_with_an_open_payment_is_not_configured__said_in_the_log(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 5_000000))
    old = books.ledger
    ledger = Ledger(
        old.engine, clock=old.clock, entropy=old.entropy,
        catalogue=Catalogue([test_catalogue().chain("other")]), public_url="",
    )  # fmt: skip
    house: Any = SimpleNamespace(ledger=ledger)
    await tell_left_out(house)
    told = capsys.readouterr().out
    assert "left_out" in told and "1 payments and 0 payouts wait" in told
