"""The simulated wire to a real PostgreSQL: what takes virtual time, and what survives what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ledger.store import make_engine
from tests.simulation.image_postgres import SESSIONS
from tests.simulation.machine.desk import Desk
from tests.simulation.machine.loop import Process, VirtualLoop, spawn
from tests.simulation.machine.wire import Network
from tests.support.postgres import PostgresCluster

COUNT = "UPDATE counted SET n = n + 1 WHERE id = :id"


@dataclass
class Town:
    """A loop, a database with two counters, and processes that have what happens to them given."""

    loop: VirtualLoop
    desk: Desk
    url: str
    fates: dict[str, str] = field(default_factory=dict)
    """By process and moment, once."""
    delays: dict[str, float] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def on_wire(self, process: Process, moment: str) -> str:
        return self.fates.pop(f"{process.name} {moment}", "")

    def delay(self, process: Process) -> float:
        return self.delays.get(process.name, 0.0)

    def changed(self, process: Process) -> None:
        self.commits.append(process.name)

    def waits(self, pid: int) -> bool:
        row = self.desk.execute("SELECT cardinality(pg_blocking_pids(?)) > 0", (pid,)).fetchone()
        assert row is not None
        return bool(row[0])

    def end(self, pid: int) -> None:
        self.desk.execute("SELECT pg_terminate_backend(?)", (pid,))

    def counted(self, number: int = 1) -> int:
        row = self.desk.execute("SELECT n FROM counted WHERE id = ?", (number,)).fetchone()
        assert row is not None
        return int(row[0])

    def say(self, text: str) -> None:
        self.found.append(f"{self.loop.time():.0f} {text}")

    def process(
        self, name: str, life: Callable[[AsyncEngine], Awaitable[Any]]
    ) -> tuple[Process, asyncio.Task[Any]]:
        process = Process(name, 1)

        async def live() -> Any:
            engine = make_engine(self.url)
            try:
                return await life(engine)
            finally:
                await engine.dispose()

        return process, spawn(process, live())

    def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        async def all_of_it() -> None:
            await work()

        self.loop.run_until_complete(all_of_it())


@pytest.fixture
def town(postgres: PostgresCluster) -> Iterator[Town]:
    name = postgres.create_database()
    for setting, value in SESSIONS.items():
        postgres.execute(f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")
    desk = Desk(postgres.url(name).replace("+asyncpg", "") + "?sslmode=disable")
    desk.script(
        "CREATE TABLE counted (id INT PRIMARY KEY, n INT); INSERT INTO counted VALUES (1, 0), (2, 0)"
    )
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    found = Town(loop, desk, postgres.url(name) + "?ssl=disable")
    loop.network = Network(found, found, loop)
    yield found
    asyncio.set_event_loop(None)
    loop.close()
    desk.close()
    postgres.drop_database(name)


async def count(conn: AsyncConnection, number: int = 1) -> None:
    await conn.execute(sa.text(COUNT), {"id": number})


def test_wire__one_waits_for_the_lock_of_another__time_goes_on_until_it_is_free(
    town: Town,
) -> None:
    async def first(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await count(conn)
            town.say("first has it")
            await asyncio.sleep(30)
        town.say("first is done")

    async def second(engine: AsyncEngine) -> None:
        await asyncio.sleep(10)
        town.say("second asks")
        async with engine.begin() as conn:
            await count(conn)
            town.say("second has it")

    async def work() -> None:
        await asyncio.gather(town.process("a", first)[1], town.process("b", second)[1])

    town.run(work)
    assert town.found[:2] == ["0 first has it", "10 second asks"]
    assert sorted(town.found[2:]) == ["30 first is done", "30 second has it"]
    assert (town.commits, town.counted()) == (["a", "b"], 2)


def test_wire__process_dies_in_a_transaction__its_lock_is_free_at_once(town: Town) -> None:
    town.fates["a commit"] = "dies"

    async def life(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await count(conn)
        town.say("counted")

    async def work() -> None:
        dead, _ = town.process("a", life)
        await asyncio.sleep(1)
        assert dead.dead
        await town.process("b", life)[1]

    town.run(work)
    assert (town.found, town.counted()) == (["1 counted"], 1)


def test_wire__process_dies_while_it_waits__its_session_ends(town: Town) -> None:
    async def holds(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await count(conn)
            await asyncio.sleep(30)

    async def waits(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await count(conn, 2)
            await count(conn)

    async def other(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await count(conn, 2)
        town.say("other has counted")

    async def work() -> None:
        _, first = town.process("a", holds)
        await asyncio.sleep(1)
        dying, _ = town.process("b", waits)
        await asyncio.sleep(1)
        dying.kill()
        await town.process("c", other)[1]
        await first

    town.run(work)
    assert town.found == ["2 other has counted"]
    assert (town.counted(1), town.counted(2)) == (1, 1)


@pytest.mark.parametrize(
    ("moment", "fate", "kept"),
    [
        ("begin", "lost", 0),
        ("statement", "lost", 0),
        ("statement", "refused", 0),
        ("commit", "lost", 0),
        ("commit", "refused", 0),
        ("committed", "lost", 1),
    ],
)
def test_wire__errors_of_the_database__whole_or_nothing_and_the_next_try_works(
    town: Town, moment: str, fate: str, kept: int
) -> None:
    async def life(engine: AsyncEngine) -> None:
        async with engine.connect() as conn:
            await conn.rollback()  # the pool has looked at it
            town.fates[f"a {moment}"] = fate
            try:
                await count(conn)
                await conn.commit()
            except sa.exc.DBAPIError:
                town.say("failed")
        assert (town.fates, town.counted()) == ({}, kept)
        async with engine.begin() as conn:
            await count(conn)

    async def work() -> None:
        await town.process("a", life)[1]

    town.run(work)
    assert (town.found, town.counted()) == (["0 failed"], kept + 1)


def test_wire__two_lock_in_each_others_way__one_is_refused_as_a_deadlock(town: Town) -> None:
    async def crosswise(engine: AsyncEngine, first: int) -> None:
        try:
            async with engine.begin() as conn:
                await count(conn, first)
                await asyncio.sleep(first)
                await count(conn, 3 - first)
        except sa.exc.DBAPIError as error:
            town.say(type(error.orig.__cause__).__name__)  # type: ignore[union-attr]

    async def work() -> None:
        await asyncio.gather(
            town.process("a", lambda engine: crosswise(engine, 1))[1],
            town.process("b", lambda engine: crosswise(engine, 2))[1],
        )

    town.run(work)
    assert (town.found, town.commits) == (["2 DeadlockDetectedError"], ["a"])


def test_wire__waiting_query_is_given_up__its_connection_can_be_used_again(town: Town) -> None:
    async def holds(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await count(conn)
            await asyncio.sleep(30)

    async def impatient(engine: AsyncEngine) -> None:
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), engine.begin() as conn:
                await count(conn)
        async with engine.begin() as conn:
            await count(conn, 2)
        town.say("gave up and went on")

    async def work() -> None:
        await asyncio.gather(town.process("a", holds)[1], town.process("b", impatient)[1])

    town.run(work)
    assert (town.found, town.counted(1), town.counted(2)) == (["6 gave up and went on"], 1, 1)


def test_wire__slow_answers__take_virtual_time(town: Town) -> None:
    town.delays["a"] = 2.0

    async def life(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            before = town.loop.time()
            await count(conn)
            assert town.loop.time() - before >= 2.0

    async def work() -> None:
        await town.process("a", life)[1]

    town.run(work)
    assert town.counted() == 1
