"""The database fails under settlement: whole or nothing, retried, paid once."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from config.errors import DatabaseError, LeaseLostError
from ledger.schema import transactions
from ledger.store import Ledger, Tx
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.crashing import SleepingLedger
from tests.chain.settlement.scenes import AMOUNT, funded, until_sent
from tests.chain.settlement.world import World, recipient
from tests.support.postgres import PostgresCluster

WAYS = ["before", "inside", "answer_lost"]


class FailingLedger:
    """Fails at its n-th write: before it begins, in its middle, or with the commit's answer lost."""

    def __init__(self, ledger: Ledger, at: int, where: str) -> None:
        self._ledger = ledger
        self.left = at
        self._where = where

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self.left -= 1
        if self.left == 0 and self._where == "before":
            raise DatabaseError("database: connection refused")
        async with self._ledger.transaction() as tx:
            yield tx
            if self.left == 0 and self._where == "inside":
                raise DatabaseError("database: disk I/O error")
        if self.left == 0 and self._where == "answer_lost":
            raise DatabaseError("database: connection was closed in the middle of operation")


async def ticks(world: World, service: Any, payout: str, rounds: int = 40) -> int:
    """Tick as the daemon does, which goes on after trouble; how often there was some."""
    trouble = 0
    for _ in range(rounds):
        try:
            await service.tick()
        except (DatabaseError, LeaseLostError):
            trouble += 1
        await world.watch(mine=1)
        if await world.status(payout) == "paid":
            return trouble
    raise AssertionError(f"not paid: {world.observer.notes[-5:]}")


async def paid_once(world: World, spy: SpyingClient, count: int) -> None:
    for number in range(1, count + 1):
        assert await world.held("USDC", recipient(number)) == AMOUNT
    assert all(len(versions) == 1 for versions in spy.sent.values())
    async with world.ledger.reading() as tx:
        query = sa.select(transactions.c.raw, transactions.c.status)
        rows = list(await tx.conn.execute(query))
    assert {raw for versions in spy.sent.values() for raw in versions} == {row.raw for row in rows}
    assert {row.status for row in rows} == {"final"}
    await world.agrees()


@pytest.mark.parametrize("where", WAYS)
async def test_f12_database_error_at_every_write__same_process_goes_on__paid_once(
    world: World, where: str
) -> None:
    spy = SpyingClient(world.client)
    writes = 0
    # A third of the writes each; the crash tests take every one.
    for writes in range(1 + WAYS.index(where), 40, 3):
        payout = await funded(world)
        ledger = FailingLedger(world.ledger, writes, where)
        service = world.service(ledger=ledger, client=spy)
        world.clock.advance(11)
        await ticks(world, service, payout)
        if ledger.left > 0:
            break
    assert writes > 8, "fewer writes than persistence points"
    await paid_once(world, spy, world.merchants)


@contextmanager
def pragma(world: World, text: str) -> Iterator[None]:
    """On each connection that is taken from the pool."""

    def taken(connection: Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(text)
        cursor.close()

    engine = world.ledger.engine.sync_engine
    sa.event.listen(engine, "checkout", taken)
    try:
        yield
    finally:
        sa.event.remove(engine, "checkout", taken)


def sqlite_file(world: World) -> Path:
    if world.ledger.engine.dialect.name != "sqlite":
        pytest.skip("of SQLite")
    return Path(sa.make_url(world.url_of_books).database or "")


async def test_f12_disk_full__nothing_sent_that_is_not_stored__goes_on_with_room(
    world: World,
) -> None:
    file = sqlite_file(world)
    # Enough of them to need pages of their own.
    payout = [await funded(world) for _ in range(20)][-1]
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    with sqlite3.connect(file) as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute("CREATE TABLE filler (text TEXT)")
        db.execute(f"PRAGMA max_page_count = {pages + 8}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            while True:
                db.execute("INSERT INTO filler VALUES (hex(zeroblob(400)))")
                db.commit()
    trouble = 0
    with pragma(world, f"PRAGMA max_page_count = {pages + 8}"):
        for _ in range(10):
            try:
                await service.tick()
            except DatabaseError as error:
                assert "full" in str(error)
                trouble += 1
            with suppress(DatabaseError):
                await world.watch(mine=1)
    assert trouble > 0
    with pragma(world, "PRAGMA max_page_count = 1073741823"):
        await ticks(world, service, payout)
    await paid_once(world, spy, 20)


async def test_f12_sqlite_locked_by_another_process__waits_and_goes_on(world: World) -> None:
    file = sqlite_file(world)
    payout = await funded(world)
    service = world.service()
    await until_sent(world, service, "sweeps")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pragma(world, "PRAGMA busy_timeout = 100"), pytest.raises(DatabaseError, match="locked"):
        await service.tick()
    other.execute("ROLLBACK")
    other.close()
    await ticks(world, service, payout)


async def test_f12_postgres_ends_every_connection_inside_a_transaction__paid_once(
    world: World, request: pytest.FixtureRequest
) -> None:
    if world.ledger.engine.dialect.name != "postgresql":
        pytest.skip("of PostgreSQL")
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    name = sa.make_url(world.url_of_books).database
    spy = SpyingClient(world.client)

    async def ended() -> None:
        cluster.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    trouble = 0
    for number, write in enumerate((2, 4, 6, 8, 10, 12), 1):
        payout = await funded(world)
        ledger = EndingLedger(world.ledger, write, ended)
        service = world.service(ledger=ledger, client=spy)
        world.clock.advance(11)
        trouble += await ticks(world, service, payout)
        assert number == world.merchants
    assert trouble >= 4
    await paid_once(world, spy, 6)


class EndingLedger(SleepingLedger):
    """Something happens in the middle of the n-th write, before its last statement."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self._left -= 1
        async with self._ledger.transaction() as tx:
            yield tx
            if self._left == 0:
                await self._meanwhile()
