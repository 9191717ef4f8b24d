"""Merchants who move their webhook endpoints and rotate secrets while deliveries are pending."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.life.people import ask
from tests.simulation.life.weather import strikes
from tests.simulation.memory import Merchant
from tests.simulation.world import World

MINUTE = 60.0
MOST, FORGOTTEN = 3, 5
"""Endpoints of one shop, but while it moves; and those that are gone and that nobody deletes."""
HABITS = ("one more", "one less", "new first", "old first", "goes away")
SOME_TYPES = ["invoice.paid", "payment.ignored", "payout.paid"]
PATH = "/v1/webhook-endpoints"


async def webmasters(world: World) -> None:
    """All merchants, until the quiet period begins."""
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        for merchant in list(world.merchants):
            if strikes(world, "endpoint_changed", merchant.url):
                await _change(world, merchant)
            if merchant.hooks and strikes(world, "secret_rotated", merchant.url):
                url = world.dice.pick("rotates", sorted(merchant.hooks))
                for _ in range(world.dice.between("rotations", 1, 2)):
                    await rotate(world, merchant, url)
                    await asyncio.sleep(world.dice.seconds("rotates again after", 0, 900))


async def _change(world: World, merchant: Merchant) -> None:
    habit = world.dice.pick("endpoint habit", HABITS)
    old = world.dice.pick("which endpoint", sorted(merchant.hooks)) if merchant.hooks else None
    if old is None or (habit == "one less" and len(merchant.hooks) == 1):
        habit = "one more"
    elif habit == "one more" and len(merchant.hooks) >= MOST:
        habit = "one less"
    world.say(f"shop {merchant.number} and its endpoint {old}: {habit}")
    world.counts["endpoints changed"] += 1
    if habit == "goes away":
        assert old is not None
        world.mailbox.gone.add(old)
    if habit in ("old first", "one less"):
        await _remove(world, merchant, old)
        await asyncio.sleep(world.dice.seconds("no endpoint for", 0, 600))
    if habit != "one less":
        types = SOME_TYPES if world.dice.chance("only some types", 0.3) else None
        number = world.counts["endpoints made"] = world.counts["endpoints made"] + 1
        url = f"https://shop{merchant.number}.example/hooks/{number}"
        await register(world, merchant, url, types)
    if habit == "goes away" and len(world.mailbox.gone) <= FORGOTTEN:
        merchant.hooks.pop(old or "")
    elif habit in ("new first", "goes away"):
        await asyncio.sleep(world.dice.seconds("both endpoints for", 0, 1200))
        await _remove(world, merchant, old)


async def register(
    world: World, merchant: Merchant, url: str, types: list[str] | None = None
) -> None:
    """An endpoint, whose secret its owner knows in the end."""
    number = world.counts["registered"] = world.counts["registered"] + 1
    body: dict[str, Any] = {"url": url} if types is None else {"url": url, "events": types}
    before = world.forgot
    made = await ask(
        world, "POST", PATH, merchant.key, body, once=f"hook-{merchant.number}-{number}"
    )
    merchant.hooks[url] = made["id"]
    await _learn(world, merchant, url, made, forgot=before)


async def rotate(world: World, merchant: Merchant, url: str) -> None:
    """Another secret for it, until an answer tells which."""
    path = f"{PATH}/{merchant.hooks[url]}/rotate-secret"
    number = world.counts["secrets rotated"] = world.counts["secrets rotated"] + 1
    before = world.forgot
    made = await ask(world, "POST", path, merchant.key, {}, once=f"rotate-{number}", lost=True)
    world.say(f"shop {merchant.number} rotates the secret of {url}")
    if made is not None:
        await _learn(world, merchant, url, made, forgot=before)


async def _learn(
    world: World, merchant: Merchant, url: str, made: dict[str, Any], *, forgot: bool
) -> None:
    """It is shown once: where that answer was lost, there has to be another."""
    hook = world.hooks.get(url)
    sure = world.forgot == forgot and hook is not None and hook.id == made["id"]
    if sure and made["secret"] is not None:
        assert hook is not None
        hook.learn(made["secret"])
    elif sure:
        world.counts["secrets not told"] += 1
        await rotate(world, merchant, url)


async def _remove(world: World, merchant: Merchant, url: str | None) -> None:
    if url is not None and url in merchant.hooks:
        await _delete(world, merchant, merchant.hooks.pop(url))
        world.say(f"shop {merchant.number} deletes {url}")


async def _delete(world: World, merchant: Merchant, endpoint_id: str) -> None:
    await ask(world, "DELETE", f"{PATH}/{endpoint_id}", merchant.key, lost=True)


async def look_after_hooks(world: World) -> None:
    """Each merchant makes sure that he has the endpoints that he wants, and no others.

    A restored database may have forgotten both.
    """
    if not world.counts["endpoints changed"]:
        return
    for merchant in world.merchants:
        found = await ask(world, "GET", f"{PATH}?limit=100", merchant.key)
        listed = {one["id"] for one in found["data"]}
        wanted = {*merchant.hooks.values(), *_gone(world)}
        for endpoint_id in sorted(listed - wanted):
            await _delete(world, merchant, endpoint_id)
        for url, endpoint_id in sorted(merchant.hooks.items()):
            if endpoint_id not in listed:
                await register(world, merchant, url)


def _gone(world: World) -> set[str]:
    """Ids of endpoints that nobody has to delete: they are disabled when something comes."""
    return {world.hooks[url].id for url in world.mailbox.gone if url in world.hooks}
