"""Backups of a world's database, and what goes on from an older one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from config.units import Address
from ledger.installation import installation_id, raise_index
from ledger.journal import Journal, open_journal
from ledger.leases import LONGEST
from ledger.schema import batches
from ledger.store import Ledger, make_engine
from settlement.service import ChainSettlement
from tests.chain.settlement.scenes import AMOUNT
from tests.chain.settlement.world import World, recipient
from tests.support.database import copy_sqlite, sqlite_url
from tests.support.postgres import PostgresCluster

Backup = Callable[[World], Awaitable[str]]
"""Copies a world's database as it is; returns the copy's URL."""


@pytest.fixture
def copy(request: pytest.FixtureRequest, database_backend: str, tmp_path: Path) -> Backup:
    made: list[str] = []

    async def make(world: World) -> str:
        await world.ledger.dispose()
        made.append("")
        if database_backend == "sqlite":
            source = Path(sa.make_url(world.url_of_books).database or "")
            target = tmp_path / f"backup-{len(made)}.db"
            copy_sqlite(source, target)
            return sqlite_url(target)
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        name = sa.make_url(world.url_of_books).database
        return cluster.url(cluster.create_database(template=name))

    return make


async def journal_of(world: World, path: Path) -> Journal:
    async with world.ledger.transaction() as tx:
        name = await installation_id(tx)
    return open_journal(path, name)


@pytest.fixture
async def journal(world: World, tmp_path: Path) -> Journal:
    """The journal of a world that also writes down each address that it hands out."""
    world.journal = await journal_of(world, tmp_path / "j")
    return world.journal


async def restored(world: World, url: str) -> World:
    """The same chain and clock over another copy of the database."""
    old = world.ledger
    ledger = Ledger(
        make_engine(url),
        clock=old.clock,
        entropy=old.entropy,
        catalogue=old.catalogue,
        public_url=old.public_url,
    )
    async with ledger.transaction() as tx:
        if world.journal is not None:
            await raise_index(tx, world.journal.next_index)
    return replace(world, ledger=ledger, url_of_books=url)


async def restored_and_run(
    world: World, url: str, journal: Journal | None, rounds: int = 25, *, between: int = 0
) -> World:
    """:func:`restored`, looked at, with the former leader's lease over, and ticked."""
    old = await restored(world, url)
    await old.watch()
    old.clock.advance(LONGEST.seconds + 1)
    await run_on(old, old.service(journal=journal), rounds, between=between)
    return old


async def promised(world: World, number: int) -> str:
    """A payout to :func:`recipient` ``number`` whose money lies at a deposit address."""
    return await promised_to(world, await world.merchant(recipient(number)), recipient(number))


async def promised_to(world: World, merchant: str, destination: Address) -> str:
    await world.deposited(merchant, "USDC", AMOUNT)
    return await world.promise(merchant, "USDC", AMOUNT, destination)


def has_final_batches(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with world.ledger.reading() as tx:
            query = sa.select(sa.func.count()).where(batches.c.status == "final")
            return await tx.conn.scalar(query) == count

    return look


async def run_on(
    world: World, service: ChainSettlement, rounds: int = 25, *, between: int = 0
) -> None:
    """Ticks with blocks, and ``between`` seconds, in between."""
    for _ in range(rounds):
        world.clock.advance(between)
        await service.tick()
        await world.watch(mine=1)
