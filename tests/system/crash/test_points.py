"""``kill -9`` of the real process on both sides of every persistence point, and of the broadcast.

Fewer points by default; ``CRASH_POINTS=all`` takes every one of both lanes.
"""

from __future__ import annotations

import pytest

from tests.system.crash.flow import EVERY_POINT, Flow, start_process
from tests.system.crash.process import POINTS

pytestmark = pytest.mark.timeout(1500 if EVERY_POINT else 300)

ALL = [f"{lane}:{p}:{side}" for lane in ("payouts", "sweeps") for p in POINTS
       for side in ("before", "after")]  # fmt: skip
SOME = ["payouts:P2:before", "payouts:send:after", "payouts:P4:after", "sweeps:P6:before"]


async def test_f13_kill_9_at_persistence_points__another_start_finishes__exact(flow: Flow) -> None:
    world = flow.world
    world.kill()
    for point in ALL if EVERY_POINT else SOME:
        process = world.process = start_process(world, point)
        if flow.task is None:
            flow.go()
        await flow.died(process)
    world.process = start_process(world)
    await world.ready(60)
    await flow.exact()
