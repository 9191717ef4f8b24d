"""Asking in a loop: one question at a time, and the same answer for a while."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bursar import recent
from bursar.costing import QUOTE_SECONDS, Quotes
from bursar.operations import PREVIEW_SECONDS, Operations
from bursar.recent import Recent
from chain.model import FeeQuote
from ledger.invoices import Tolerance
from ledger.payment_rows import PaymentPolicy
from ledger.schema import payout_destinations
from tests.support.books import Books
from tests.support.clock import ManualClock
from tests.unit.settlement.test_runs import destination, paid, runs


class Chain:
    """As far as the price of gas goes."""

    def __init__(self) -> None:
        self.asked = 0

    async def fees(self) -> FeeQuote:
        self.asked += 1
        return FeeQuote(self.asked, 0)


async def test_preview__asked_in_a_loop__provider_and_books_are_asked_once(books: Books) -> None:
    await destination(books)
    await paid(books)
    chain = Chain()
    operations = Operations(
        books.ledger,
        runs(books),
        policy=PaymentPolicy(),
        tolerance=Tolerance(),
        quotes=Quotes({"anvil": chain}, books.clock),  # type: ignore[dict-item]
        max_batch=400,
    )
    first = await operations.preview("mer_1")
    assert [p["amount"] for p in first["payouts"]] == ["5.00"]
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(payout_destinations.delete())
    at_once = await asyncio.gather(*(operations.preview("mer_1") for _ in range(50)))
    assert all(again == first for again in at_once)
    assert chain.asked == 1
    assert (await operations.preview(None))["payouts"] == [], "an operator sees what is"
    books.clock.advance(PREVIEW_SECONDS)
    assert (await operations.preview("mer_1"))["payouts"] == []


async def test_quotes__every_merchant_s_preview__one_question_a_chain_for_a_while() -> None:
    clock, chain = ManualClock(), Chain()
    quotes = Quotes({"anvil": chain}, clock)  # type: ignore[dict-item]
    at_once = await asyncio.gather(*(quotes.get("anvil") for _ in range(20)))
    clock.advance(QUOTE_SECONDS - 1)
    assert {q and q.base_fee for q in [*at_once, await quotes.get("anvil")]} == {1}
    clock.advance(1)
    assert await quotes.get("anvil") == FeeQuote(2, 0)
    assert await quotes.get("other") is None, "not this process's"


async def test_recent__answer_took_long__is_kept_for_its_share_of_the_time() -> None:
    clock, asked = ManualClock(), []

    async def ask(key: str) -> int:
        asked.append(key)
        clock.advance(2)
        return len(asked)

    kept = Recent(ask, clock, seconds=5, share=20)
    assert await kept.get("a") == 1
    clock.advance(39)
    assert await kept.get("a") == 1
    assert await kept.get("b") == 2, "another key is asked for by itself"
    clock.advance(1)
    assert await kept.get("a") == 3


async def test_recent__asking_fails_or_the_asker_goes__nothing_is_kept_of_it() -> None:
    clock, answer = ManualClock(), asyncio.Event()

    async def ask(key: str) -> str:
        await answer.wait()
        if key == "bad":
            raise ValueError(key)
        return key

    kept = Recent(ask, clock, seconds=5)
    gone, stays = (asyncio.create_task(kept.get("good")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    answer.set()
    assert await stays == "good", "who leaves takes nothing from the others"
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            await kept.get("bad")


async def test_recent__endless_keys__memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 3)

    async def ask(key: int) -> timedelta:
        return timedelta(key)

    kept = Recent(ask, ManualClock(), seconds=5)
    for number in range(10):
        await kept.get(number)
    assert len(kept._asked) == 3
