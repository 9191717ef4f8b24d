"""One of several processes watches a chain, and only what it may still write counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from ledger.leases import acquire
from ledger.schema import chain_cursors
from tests.chain.watcher.world import World
from tests.support.clock import AheadClock
from watcher import leader, service
from watcher.status import Outcome


async def test_f19_two_watchers__one_leads_the_other_stands_by(world: World) -> None:
    world.restart(lease_owner="first")
    await world.watcher.tick()
    first = world.watcher
    world.restart(lease_owner="second")
    assert (await world.watcher.tick()).outcome is Outcome.STANDBY
    assert world.watcher.status().ready
    await first._leader.resign()
    assert (await world.watcher.tick()).outcome is not Outcome.STANDBY


async def test_f19_lease_taken_meanwhile__pass_is_refused(world: World) -> None:
    world.restart(lease_owner="first")
    await world.follow()
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(sa.text("UPDATE leases SET owner = 'other'"))
        assert await acquire(tx, "watcher:anvil", "third") is None
    await world.mine()
    before = await world.cursor()
    with pytest.raises(service.LeaseLostError):
        await world.watcher.tick()
    assert await world.cursor() == before


class PatientClock(AheadClock):
    """Really waits."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def test_f19_passes_longer_than_a_lease__kept_meanwhile_and_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ttl = timedelta(seconds=1)
    monkeypatch.setattr(leader, "DEFAULT_TTL", ttl)
    monkeypatch.setattr(leader, "acquire", partial(acquire, ttl=ttl))
    world.clock = PatientClock()
    world.restart(lease_owner="first")
    look = world.watcher._lookout.look

    async def slow(cursor: Any) -> Any:
        found = await look(cursor)
        await asyncio.sleep(1.4)
        return found

    monkeypatch.setattr(world.watcher._lookout, "look", slow)
    await world.mine(3)
    stop = asyncio.Event()
    task = asyncio.create_task(world.watcher.run(stop))
    for _ in range(200):  # on a busy machine a renewal may be late: one pass is enough
        cursor = world.watcher.status().cursor
        if cursor is not None and cursor == await world.head():
            break
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert (await world.cursor())[0] == await world.head()


async def test_cursor_moved_by_another__pass_refused(world: World) -> None:
    await world.follow()
    await world.mine()
    cursor = await world.watcher._lookout.cursor(None)
    look = await world.watcher._lookout.look(cursor)
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(chain_cursors.update().values(cursor_hash=b"\x01" * 32))
    with pytest.raises(service.ConflictError):
        from watcher.plan import ReadBlocks

        await world.watcher._advance(
            cursor, look, ReadBlocks(cursor.cursor.number + 1, look.head.number)
        )
