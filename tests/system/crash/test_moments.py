"""``kill -9`` of the real process at random moments while money flows; ``CRASH_KILLS`` = 25 for all."""

from __future__ import annotations

import asyncio

import pytest

from tests.system.crash.flow import KILLS, Flow, start_process

pytestmark = pytest.mark.timeout(300 + 30 * KILLS)


async def test_f13_kill_9_at_random_moments__while_money_flows__exact(flow: Flow) -> None:
    world = flow.world
    flow.go()
    for _ in range(KILLS):
        await asyncio.sleep(flow.moments.uniform(0.0, 4.0))
        world.kill()
        world.process = start_process(world)
        if flow.moments.random() < 0.8:  # else it may die while it starts
            await world.ready(60)
    await world.ready(60)
    await flow.exact()
