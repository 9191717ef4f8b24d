"""Merchants' API keys that are replaced or revoked while their owners, and others, use them."""

from __future__ import annotations

import asyncio
from typing import Any

from ledger.api_keys import hash_key
from tests.simulation import town
from tests.simulation.checks.hooks import mark_of
from tests.simulation.life.people import answer_of, ask, issue_key
from tests.simulation.life.weather import strikes
from tests.simulation.memory import Merchant
from tests.simulation.world import World

MINUTE = 60.0
HABITS = ("new first", "both for a while", "stolen", "lost")
UNDER_WAY = ("at once", "at once", "a moment before", "not")


async def locksmiths(world: World) -> None:
    """All merchants, until the quiet period begins."""
    former: list[tuple[Merchant, str]] = []
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        for merchant in list(world.merchants):
            if strikes(world, "key_rotated", merchant.url):
                old = merchant.key
                await _replace(world, merchant)
                former.append((merchant, old))
        for merchant, key in former:
            if world.dice.chance("tries an old key", 0.3):
                await _try(world, merchant, key)
    for merchant, key in former:
        await _try(world, merchant, key)


async def _replace(world: World, merchant: Merchant) -> None:
    habit = world.dice.pick("key habit", HABITS)
    old = merchant.key
    world.say(f"shop {merchant.number} has another key: {habit}")
    world.counts["keys replaced"] += 1
    if habit in ("new first", "both for a while"):
        await _own(world, merchant)
        if habit == "both for a while":
            await asyncio.sleep(world.dice.seconds("both keys for", 0, 900))
    thief = asyncio.create_task(_use(world, merchant, old))
    await asyncio.sleep(0)
    if habit == "stolen":
        await issue_key(world, merchant, others=True)
    else:
        world.leaving.add(old)
        await _revoke_but(world, merchant, but=None if habit == "lost" else merchant.key_id)
        if habit == "lost":
            await issue_key(world, merchant, others=False)
    await thief


async def _own(world: World, merchant: Merchant) -> None:
    """With the key that he has; where an answer is lost, one more."""
    made: dict[str, Any] = {"api_key": None}
    while made["api_key"] is None:
        number = world.counts["keys made"] = world.counts["keys made"] + 1
        made = await ask(
            world, "POST", "/v1/api-keys", merchant.key, {"name": f"{number}"}, once=f"key-{number}"
        )
    world.replace_key(merchant, made["api_key"], made["id"])


async def _revoke_but(world: World, merchant: Merchant, but: str | None) -> None:
    """By the merchant, with the key that stays; or by the operator, where none does."""
    own = but is not None
    path = "/v1/api-keys" if own else f"/v1/admin/merchants/{merchant.id}/api-keys"
    key = merchant.key if own else town.ADMIN_KEY
    found = await ask(world, "GET", f"{path}?limit=100", key)
    for known in found["data"]:
        if known["id"] != but and known["revoked_at"] is None:
            path = f"/v1/{'' if own else 'admin/'}api-keys/{known['id']}"
            await ask(world, "DELETE", path, key, lost=True)


async def _use(world: World, merchant: Merchant, key: str) -> None:
    """Somebody else opens an invoice with it, while it is being revoked."""
    when = world.dice.pick("thief", UNDER_WAY)
    if when == "not":
        return
    if when == "at once":
        for _ in range(world.dice.between("thief's steps", 0, 40)):
            await asyncio.sleep(0)
    status = await _steal(world, merchant, key)
    world.counts[f"thief's requests: {status}"] += 1
    if status not in (201, 401, 409, 422):
        world.violated("I13", f"a request with a key that was being revoked: {status}")


async def _steal(world: World, merchant: Merchant, key: str) -> int:
    number = world.counts["thefts"] = world.counts["thefts"] + 1
    mark = f"{mark_of(hash_key(key))} {number}"
    body = {"amount": "1.00", "currency": "USD", "reference": mark}
    once = mark.replace(" ", "-") if world.dice.chance("thief's idempotency key", 0.7) else ""
    status, _ = await answer_of(world, "POST", "/v1/invoices", key, body, once=once, exactly=True)
    return status


async def _try(world: World, merchant: Merchant, key: str) -> None:
    """A key that was revoked: refused, whatever is asked. A backup may have it valid again."""
    if world.forgot:
        return
    what = world.dice.pick("tries", ["invoice", "merchant", "key"])
    if what == "invoice":
        status = await _steal(world, merchant, key)
    else:
        method, path = ("GET", "/v1/merchant") if what == "merchant" else ("POST", "/v1/api-keys")
        body: Any = {} if method == "POST" else None
        status, _ = await answer_of(world, method, path, key, body, exactly=True)
    world.counts["revoked keys tried"] += 1
    if status != 401 and not world.forgot:
        world.violated("I13", f"a revoked key of shop {merchant.number} was answered {status}")
