"""What many watch is read once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import pytest

from config.clock import SystemClock
from config.errors import DatabaseError
from gateway.rounds import Rounds
from ledger.store import Tx
from tests.support.books import Books


async def test_rounds__many_wait__one_read_and_each_its_own_value(books: Books) -> None:
    asked: list[Sequence[str]] = []

    async def read(_tx: Tx, ids: Sequence[str]) -> Mapping[str, str]:
        asked.append(ids)
        if len(asked) == 2:
            raise DatabaseError("is away")
        return {i: i.upper() for i in ids if i != "none"}

    rounds = Rounds(books.ledger, SystemClock(), read, 0.01)
    impatient = asyncio.create_task(rounds.next("a"))
    waiting = [asyncio.create_task(rounds.next(i)) for i in ("a", "b", "a", "none")]
    await asyncio.sleep(0)
    impatient.cancel()
    assert await asyncio.gather(*waiting) == ["A", "B", "A", None]
    for _ in range(2):
        with pytest.raises(DatabaseError) if len(asked) == 1 else nullcontext():
            assert await rounds.next("c") == "C"
    assert asked == [["a", "b", "none"], ["c"], ["c"]]
    left = asyncio.create_task(rounds.next("d"))
    await asyncio.sleep(0)
    left.cancel()
    await rounds.close()
    assert len(asked) == 3, "nothing is read once nobody may"
