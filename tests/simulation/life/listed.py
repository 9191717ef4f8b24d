"""What people do about somebody whom an issuer has listed: wait, try all the same, or take it back."""

from __future__ import annotations

from typing import Any

from tests.simulation.life.refunds import take_back
from tests.simulation.memory import FOREVER, ListKey
from tests.simulation.world import World

IMPATIENT = 0.3
"""Operators who release what is refused, though nothing has changed."""


def about(world: World, hold: dict[str, Any]) -> ListKey | None:
    """The place on a list, past or present, because of which something may be on hold."""
    place = hold["object"]["id"]
    if hold["kind"] == "payout":
        row = world.books.execute(
            "SELECT chain, token, address FROM payouts WHERE id = ?", (place,)
        ).fetchone()
        key = None if row is None else (row["chain"], row["token"], row["address"])
        if key not in world.sentences and row is not None:
            key = (row["chain"], row["token"], world.treasury)
    elif hold["object"]["type"] == "sweep":
        chain, account, token = place.split("/")
        key = (chain, token, bytes.fromhex(account.removeprefix("0x")))
    else:
        return None
    return key if key in world.sentences else None


async def left_alone(world: World, hold: dict[str, Any]) -> bool:
    """Whether an operator does not release it.

    Who is never taken off the list gets nothing: the shop is told, and takes its refund back.
    """
    key = about(world, hold)
    if key is None or not world.is_listed(key):
        return False
    lost = hold["kind"] == "payout" and world.sentences[key].until == FOREVER
    if lost and (world.faults.calm or world.dice.chance("tells the shop", IMPATIENT)):
        await _give_up(world, hold["object"]["id"])
        return True
    return not world.dice.chance("releases it all the same", IMPATIENT)


async def _give_up(world: World, place: str) -> None:
    for refund in world.refunds:
        if refund.id == place:
            merchant = next(m for m in world.merchants if m.number == refund.merchant)
            world.counts["refunds of listed customers taken back"] += 1
            await take_back(world, merchant, refund)
