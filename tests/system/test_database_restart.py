"""What the daemon stands on goes away and comes back: the real process, real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.anvil import Anvil, DevRpc
from tests.support.postgres import PostgresCluster
from tests.system.crash.flow import Flow, flowing

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster() -> Iterator[PostgresCluster]:
    """A server of its own: it is stopped."""
    if os.environ.get("SKIP_POSTGRES"):
        pytest.skip("of PostgreSQL")
    with PostgresCluster() as made:
        yield made


@pytest.fixture
async def flow(
    tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc, cluster: PostgresCluster
) -> AsyncIterator[Flow]:
    url = cluster.url(cluster.create_database())
    async with flowing(tmp_path, anvil, dev_rpc, url, invoices=40, seed=3) as made:
        yield made


async def checks(flow: Flow) -> dict[str, Any]:
    """What readiness says, by name."""
    async with flow.world.session.get(flow.world.base + "/readyz") as response:
        return {check["name"]: check for check in (await response.json())["checks"]}


async def test_f12_postgresql_stopped_and_journal_without_room__goes_on_by_itself__exact(
    flow: Flow, cluster: PostgresCluster
) -> None:
    world = flow.world
    assert world.process is not None
    flow.go()
    await asyncio.sleep(flow.moments.uniform(1.0, 2.0))
    cluster.stop()

    async def told() -> bool:
        return not (await checks(flow))["database"]["ok"]

    await world.until(told, "readiness says that the database is gone", 20)
    await flow.pay_one()
    cluster.start()
    await world.ready(40)
    await _full_disk(flow)
    await flow.exact()
    assert world.process.poll() is None, "the same process all along"
    assert "Traceback" not in world.log


async def _full_disk(flow: Flow) -> None:
    """Under the journal: nothing leaves, and the reason is said; then there is room again."""
    world = flow.world
    (journal,) = world.folder.glob("bursar-*.journal")
    aside = journal.with_suffix(".aside")
    journal.rename(aside)
    journal.symlink_to("/dev/full")
    before = world.log.count('"event":"sent"')
    await flow.pay_one()

    async def told() -> bool:
        return "journal: No space left on device" in world.log

    try:
        await world.until(told, "it is said that the journal's disk is full", 30)
        assert world.log.count('"event":"sent"') == before, "nothing leaves that is not journaled"
    finally:
        journal.unlink()
        aside.rename(journal)
