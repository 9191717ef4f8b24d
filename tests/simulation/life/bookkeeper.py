"""The house's bookkeeper: other payout terms for a merchant, debts that are given up."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.simulation import town
from tests.simulation.life.people import answer_of, ask
from tests.simulation.life.weather import strikes
from tests.simulation.memory import Merchant
from tests.simulation.world import World

MINUTE = 60.0
TERMS: dict[str, list[Any]] = {
    "schedule": ["every 30m", "0 * * * *"],
    "minimum_payout": ["0.50", "40.00"],
    "fee_bps": [0, 75, 500],
    "delay": ["15m"],
    "reserve_bps": [1_000],
    "reserve_for": ["30m"],
}


async def bookkeeper(world: World) -> None:
    """Until the quiet period begins."""
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        if strikes(world, "debt_written_off", "all"):
            await write_off(world)
        for merchant in list(world.merchants):
            if merchant.id and strikes(world, "terms_changed", merchant.url):
                await set_terms(world, merchant, _drawn(world))


def _drawn(world: World) -> dict[str, Any]:
    """Some of them; what is left out is as the house has it."""
    dice = world.dice
    chosen = {name: dice.pick(f"terms|{name}", TERMS[name]) for name in TERMS}
    terms = {name: value for name, value in chosen.items() if dice.chance(f"has {name}", 0.4)}
    if "reserve_bps" in terms:
        terms["reserve_for"] = chosen["reserve_for"]
    else:
        terms.pop("reserve_for", None)
    return terms


async def set_terms(world: World, merchant: Merchant, terms: dict[str, Any]) -> None:
    """Replace them; a fee may count for payments from before the answer on."""
    world.fees.add(terms.get("fee_bps", world.fee_bps))
    world.counts["terms changed"] += 1
    world.say(f"terms of shop {merchant.number}: {terms}")
    path = f"/v1/admin/merchants/{merchant.id}/payout-terms"
    once = f"terms-{world.counts['terms changed']}"
    await ask(world, "POST", path, town.ADMIN_KEY, terms, once=once, lost=True)


async def usual_terms(world: World) -> None:
    """Everybody's as the house has them: nothing is kept back for long."""
    if world.counts["terms changed"]:
        for merchant in world.merchants:
            await set_terms(world, merchant, {})


async def write_off(world: World) -> None:
    """Give up what merchants owe, or the half of it."""
    owed = await ask(world, "GET", "/v1/admin/receivables", town.ADMIN_KEY)
    for debt in owed["data"]:
        world.counts["debts written off"] += 1
        given = {name: debt[name] for name in ("merchant", "chain", "token")}
        body = {**given, "reason": "not worth the trouble"}
        once = f"write-off-{world.counts['debts written off']}"
        path = "/v1/admin/receivables/write-off"
        status, told = await answer_of(world, "POST", path, town.ADMIN_KEY, body, once=once)
        world.say(f"bookkeeper: {given} written off: {status} {told.get('amount')}")
        if status not in (200, 201, 404, 409, 422):  # repaid, or forgotten, meanwhile
            world.violated("I13", f"{path} answered {status}: {told}")


def given_up(world: World) -> Counter[tuple[str, str, str]]:
    """Debts that the bookkeeper has written off, as the books have it."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in world.books.execute(
        "SELECT a.merchant_id, a.chain, a.token, t.amount FROM transfers t"
        " JOIN accounts a ON a.id = t.credit_account_id"
        " WHERE a.kind = 'receivable' AND t.reason = 'written off'"
    ):
        found[row["merchant_id"], row["chain"], row["token"]] += int(row["amount"])
    return found
