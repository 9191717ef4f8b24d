"""Merchants who want their money elsewhere while payouts are promised, sealed or under way."""

from __future__ import annotations

import asyncio
from typing import Any

from config.units import Address, checksum
from tests.simulation import town
from tests.simulation.life.people import ask, want_money_at
from tests.simulation.life.weather import strikes
from tests.simulation.memory import Merchant
from tests.simulation.world import World

MINUTE = 60.0
HABITS = ("new first", "old first", "nowhere for a while", "twice")


async def movers(world: World) -> None:
    """All merchants, until the quiet period begins."""
    sent: list[str] = []
    world.on_payout.append(sent.append)
    while not world.faults.calm:
        await asyncio.sleep(MINUTE / 4 if sent else MINUTE)
        for chain in (sent.pop(0) for _ in list(sent)):
            if world.faults.strikes("merchant_moves_in_flight", chain):
                await _move(world, world.dice.pick("moves in flight", world.merchants), chain)
        for merchant in list(world.merchants):
            if strikes(world, "merchant_moves", merchant.url):
                await _move(world, merchant, world.dice.pick("moves where", sorted(world.chains)))


async def _move(world: World, merchant: Merchant, chain: str) -> None:
    habit = world.dice.pick("move habit", HABITS)
    world.say(f"shop {merchant.number} moves on {chain}: {habit}")
    world.counts["destinations moved"] += 1
    if habit in ("old first", "nowhere for a while"):
        await _revoke_all(world, merchant, chain, but=None)
    if habit == "nowhere for a while":
        await asyncio.sleep(world.dice.seconds("nowhere for", 60, 3600))
    for _ in range(2 if habit == "twice" else 1):
        number = world.counts["new destinations"] = world.counts["new destinations"] + 1
        merchant.former.append((chain, merchant.destinations[chain]))
        merchant.destinations[chain] = town.account(f"moved {merchant.number} {chain} {number}")
        await want_money_at(world, merchant, chain, f"move-{number}")
    if habit == "new first":
        await asyncio.sleep(world.dice.seconds("both for", 0, 1200))
    await _revoke_all(world, merchant, chain, but=merchant.destinations[chain])


async def _listed(world: World, merchant: Merchant, chain: str) -> list[dict[str, Any]]:
    """Those that are not revoked, as the books have them."""
    path = "/v1/payout-destinations?limit=100"
    found = (await ask(world, "GET", path, merchant.key))["data"]
    return [d for d in found if d["chain"] == chain and d["status"] != "revoked"]


async def _revoke_all(world: World, merchant: Merchant, chain: str, but: bytes | None) -> None:
    for known in await _listed(world, merchant, chain):
        if known["address"] != (but and checksum(Address(but))):
            path = f"/v1/payout-destinations/{known['id']}"
            await ask(world, "DELETE", path, merchant.key, lost=True)
            world.say(f"shop {merchant.number} revokes {known['address'][:10]} on {chain}")


async def look_after_destinations(world: World) -> None:
    """Each merchant makes sure that he is paid where he wants to be, and there alone.

    A restored database may have forgotten both.
    """
    if not world.counts["destinations moved"] and not world.guards.destinations:
        return
    for merchant in world.merchants:
        for chain, address in merchant.destinations.items():
            wanted = checksum(Address(address))
            if wanted not in {d["address"] for d in await _listed(world, merchant, chain)}:
                number = world.counts["new destinations"] = world.counts["new destinations"] + 1
                await want_money_at(world, merchant, chain, f"move-{number}")
            await _revoke_all(world, merchant, chain, but=address)
