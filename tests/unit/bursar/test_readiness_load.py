"""``/readyz`` is open to whoever reaches the port: a flood of it must not read the books."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from bursar.compose import Outside, open_house
from bursar.daemon import Daemon
from bursar.metrics.families import Families
from config.models import Settings
from config.settings import Secrets
from tests.support.clock import ManualClock


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f28_readyz__asked_by_hundreds_at_once__books_are_read_once(
    migrated_url: str,
) -> None:
    clock, stop = ManualClock(), asyncio.Event()
    settings = Settings.model_validate({"database": {"url": migrated_url}})
    outside = replace(Outside(), clock=clock)
    async with open_house(settings, Secrets(), outside, chains=[]) as house:
        daemon = Daemon(house, "gateway", Families(), stop, asyncio.Event())
        taken: list[object] = []
        sa.event.listen(house.ledger.engine.sync_engine, "checkout", lambda *_: taken.append(1))
        told = await asyncio.gather(*(daemon.readiness() for _ in range(300)))
        assert all(found.ready for found in told)
        once = len(taken)
        assert once <= 2
        clock.advance(1)
        await daemon.readiness()
        assert len(taken) == 2 * once, "looked at anew"
        stop.set()
        last = await daemon.readiness()
        assert [check.reason for check in last.checks if not check.ok] == ["stopping"]
