"""Leases, pauses, holds and lanes over both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from config.errors import ConflictError, InvalidInputError, LeaseLostError
from config.units import Address, Hash32
from ledger.attempts import NewAttempt, store_attempt
from ledger.lanes import get_lane, halt_lane, open_lane, take_nonce
from ledger.leases import Standstill, acquire, check, release, renew
from ledger.pauses import active_pauses, pause, resume, stops
from tests.support.books import Books
from watcher.leader import Leader

TTL = timedelta(seconds=10)
SENDER = Address(b"\x01" * 20)


async def test_lease__held__nobody_else_until_it_expires(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        first = await acquire(tx, "x", "a", TTL)
        assert first is not None
        assert await acquire(tx, "x", "b", TTL) is None
        assert await acquire(tx, "x", "a", TTL) == first
    books.clock.advance(10)
    async with books.ledger.transaction() as tx:
        second = await acquire(tx, "x", "b", TTL)
    assert second is not None
    assert second.fencing_token == first.fencing_token + 1


async def test_f19_lease__stale_holder__its_effects_and_renewals_are_refused(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        stale = await acquire(tx, "x", "a", TTL)
        assert stale is not None
        await check(tx, stale)
    books.clock.advance(11)
    with pytest.raises(LeaseLostError):
        async with books.ledger.transaction() as tx:
            await check(tx, stale)
    async with books.ledger.transaction() as tx:
        assert await acquire(tx, "x", "b", TTL) is not None
    for act in (check, renew):
        with pytest.raises(LeaseLostError):
            async with books.ledger.transaction() as tx:
                await act(tx, stale)
    async with books.ledger.transaction() as tx:
        await release(tx, stale)
        assert await acquire(tx, "x", "c", TTL) is None, "a stale release frees nothing"


async def test_f19_watchers_lease__kept_for_a_minute__nobody_else_has_it(books: Books) -> None:
    """Its keeper alone lets time pass: each of its rests."""
    leader = Leader(books.ledger, "x", "a", books.clock)
    assert await leader.lead() and leader.lease is not None
    stop, end = asyncio.Event(), books.clock.now() + timedelta(minutes=1)
    keeping = asyncio.create_task(leader.keep(stop))
    for _ in range(10_000):
        if books.clock.now() >= end:
            break
        await asyncio.sleep(0.001)
    assert books.clock.now() >= end
    async with books.ledger.transaction() as tx:
        await check(tx, leader.lease)
        assert await acquire(tx, "x", "b", TTL) is None
    stop.set()
    await keeping


async def test_f26_lease__clock_set_back__a_dead_holder_is_replaced_and_a_living_one_not(
    books: Books,
) -> None:
    """By the wall clock the lease lasts an hour and more; by its own, the waiter sees it stand."""
    async with books.ledger.transaction() as tx:
        held = await acquire(tx, "x", "a", TTL)
    assert held is not None
    books.clock.advance(-3600)
    waiting = Standstill()
    for second in range(0, 40, 4):
        async with books.ledger.transaction() as tx:
            held = await renew(tx, held)
            assert await acquire(tx, "x", "b", TTL, waiting=(waiting, second)) is None
        books.clock.advance(4)
    books.clock.advance(-3600)
    for second in (40, 46):
        async with books.ledger.transaction() as tx:
            assert await acquire(tx, "x", "b", TTL, waiting=(waiting, second)) is None
    async with books.ledger.transaction() as tx:
        taken = await acquire(tx, "x", "b", TTL, waiting=(waiting, 47))
    assert taken is not None and taken.fencing_token == held.fencing_token + 1
    with pytest.raises(LeaseLostError):
        async with books.ledger.transaction() as tx:
            await check(tx, held)


async def test_lease__same_owner_takes_it_after_expiry__token_rises(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        first = await acquire(tx, "x", "a", TTL)
    books.clock.advance(11)
    async with books.ledger.transaction() as tx:
        again = await acquire(tx, "x", "a", TTL)
    assert first is not None
    assert again is not None
    assert again.fencing_token > first.fencing_token


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ("all", {("payouts", "anvil"), ("sweeps", "anvil"), ("payouts", "b"), ("sweeps", "b")}),
        ("payouts", {("payouts", "anvil"), ("payouts", "b")}),
        ("sweeps:anvil", {("sweeps", "anvil")}),
        ("all:anvil", {("payouts", "anvil"), ("sweeps", "anvil")}),
    ],
)
async def test_pause__scope__stops_what_it_names(
    books: Books, scope: str, stopped: set[tuple[str, str]]
) -> None:
    async with books.ledger.transaction() as tx:
        await pause(tx, scope, "drill")
        await pause(tx, scope, "again")
    async with books.ledger.reading() as tx:
        for chain in ("anvil", "b"):
            found = [pause.scope for pause in await active_pauses(tx)]
            for what in ("payouts", "sweeps"):
                told = any(stops(scope, what, chain) for scope in found)
                assert told == ((what, chain) in stopped)
        assert [p.reason for p in await active_pauses(tx)] == ["drill"]


async def test_resume__wider_scope__takes_the_narrower_along(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        for scope in ("payouts:anvil", "sweeps", "all:b"):
            await pause(tx, scope)
        assert await resume(tx, "payouts") == ["payouts:anvil"]
        assert sorted(await resume(tx, "all")) == ["all:b", "sweeps"]
        with pytest.raises(InvalidInputError):
            await pause(tx, "everything")


def _attempt(nonce: int, raw: bytes) -> NewAttempt:
    return NewAttempt(
        "anvil", "payouts", SENDER, nonce, 0, "gap", None, Hash32(raw * 32), raw, 21_000, 2, 1
    )


async def test_lane__nonce_taken_twice_from_one_reading__refused(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        lane = await open_lane(tx, "anvil", "payouts", SENDER, 7)
        await take_nonce(tx, lane)
    with pytest.raises(ConflictError):
        async with books.ledger.transaction() as tx:
            await take_nonce(tx, lane)
    async with books.ledger.transaction() as tx:
        after = await open_lane(tx, "anvil", "payouts", SENDER, 99)
        assert after.next_nonce == 8, "the database is the authority, not the chain"
        await halt_lane(tx, "anvil", "payouts", "look at it")
    with pytest.raises(ConflictError):
        async with books.ledger.transaction() as tx:
            await take_nonce(tx, after)
    with pytest.raises(ConflictError):
        async with books.ledger.transaction() as tx:
            await open_lane(tx, "anvil", "payouts", Address(b"\x02" * 20), 0)
    async with books.ledger.reading() as tx:
        assert (await get_lane(tx, "anvil", "payouts")) is not None


async def test_lane__second_unbroadcast_attempt__refused_by_the_database(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        await store_attempt(tx, _attempt(0, b"\x01"))
    with pytest.raises(IntegrityError):
        async with books.ledger.transaction() as tx:
            await store_attempt(tx, _attempt(1, b"\x02"))
