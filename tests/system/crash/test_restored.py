"""The database put back to before the last payouts, under the real process: nothing paid twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.database import copy_sqlite
from tests.system.crash.flow import EVERY_POINT, Flow, start_process

pytestmark = pytest.mark.timeout(300)


WAYS = [pytest.param(True, id="journal"), pytest.param(False, id="chain_only")]


@pytest.mark.parametrize("journal", WAYS if EVERY_POINT else WAYS[:1])
async def test_f20_database_from_before_the_last_payouts__real_process__exact(
    flow: Flow, tmp_path: Path, journal: bool
) -> None:
    world = flow.world
    flow.go()
    await asyncio.sleep(3)
    file = Path(sa.make_url(world.database).database or "")
    backup = tmp_path / "backup.db"
    copy_sqlite(file, backup)
    before = dict(flow.owed)
    await asyncio.sleep(8)
    await flow.rest()
    flow.go()
    await flow.exact()
    assert dict(flow.owed) != before
    world.kill()
    for left in file.parent.glob("bursar.db*"):
        left.unlink()
    copy_sqlite(backup, file)
    if not journal:
        file.with_suffix(".journal").unlink()
    world.process = start_process(world)
    await world.ready(60)
    flow.go()
    await asyncio.sleep(5)
    await flow.exact()
