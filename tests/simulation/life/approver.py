"""The second person: decides about refunds, payout addresses and large payouts, where asked."""

from __future__ import annotations

import asyncio

from tests.simulation import town
from tests.simulation.life.people import answer_of, ask
from tests.simulation.world import World

MINUTE = 60.0


async def approver(world: World) -> None:
    """Looks in now and then, until the quiet period begins."""
    while world.guards.approver and not world.faults.calm:
        await asyncio.sleep(MINUTE)
        if world.dice.chance("approver looks", 0.3):
            await decide_all(world)


async def decide_all(world: World) -> None:
    """Yes to most, no to some."""
    if not world.guards.approver:
        return
    answer = await ask(world, "GET", "/v1/admin/approvals", town.ADMIN_KEY)
    for waiting in answer["data"]:
        word = "approve" if world.dice.chance("approves", 0.75) else "reject"
        await _decide(world, waiting["id"], waiting["kind"], word)


async def _decide(world: World, place: str, kind: str, word: str) -> None:
    if word == "approve":
        # Before it is asked for: what follows from it may be there before the answer is.
        world.approved.add(place)
    path = f"/v1/admin/approvals/{place}/{word}"
    status, told = await answer_of(
        world, "POST", path, town.APPROVER_KEY, {}, once=f"{word}-{place}"
    )
    world.counts[f"{kind}s: {word}"] += 1
    world.say(f"approver: {word} {place}: {status}")
    if status not in (200, 404, 409):
        world.violated("I13", f"{path} answered {status}: {told}")
