"""What happens once in years: a lost database with its older backup, a treasury's new epoch."""

from __future__ import annotations

import asyncio

from chain.abi import encode_call
from tests.simulation import town
from tests.simulation.life import oblivion
from tests.simulation.life.people import open_invoice, send
from tests.simulation.life.weather import strikes
from tests.simulation.world import World

LONGEST_WAIT = 1800.0
"""Seconds for which a backup waits for a send."""
REPAIR_SECONDS = 1200
"""At most, from the loss to the backup in its place."""


async def restored_backup(world: World) -> None:
    """The runbook's road: every daemon stops, the backup comes back, the journal stays, or not."""
    with_journal = world.faults.strikes("restored", "seed")
    if not with_journal and not world.faults.strikes("restored_without_journal", "seed"):
        return
    length = world.scale.days * 86_400
    await asyncio.sleep(world.dice.seconds("backup at", length * 0.1, length * 0.6))
    taken = await _back_up(world)
    if not with_journal:
        await oblivion.move_shop(world)
    await _order(world, 900)
    await asyncio.sleep(world.dice.seconds("lost after", 60, length * 0.4))
    world.say("the database is lost")
    world.image.clear()
    for running in list(world.running):
        running.process.kill()
    if not with_journal:
        oblivion.lose_journal(world)
    await asyncio.sleep(world.dice.seconds("repair", 1, REPAIR_SECONDS))
    world.database.restore()
    world.forgot = True
    # What operators have said since of outflows is lost, too.
    world.resolved.clear()
    world.explained.clear()
    world.on_restore()
    if not with_journal:
        await oblivion.before_the_start(world)
    world.image.set()
    world.say(f"restored from {world.now() - taken:.0f} s ago")
    await _order(world, 901)
    if not with_journal:
        await oblivion.after_the_start(world)


async def _order(world: World, place: int) -> None:
    """One that is lost with the database, and one that must not get its address."""
    await open_invoice(world, world.dice.pick("orders", world.merchants), place)


async def epochs(world: World) -> None:
    """The owner voids every signed batch that has not run."""
    while not world.faults.calm:
        await asyncio.sleep(60.0)
        for name, chain in world.chains.items():
            if strikes(world, "epoch_raised", name):
                assert chain.head.slots is not None
                now = chain.head.slots.get((world.treasury, "epoch"), 0)
                data = encode_call("raiseEpoch(uint64)", now + 1)
                send(world, name, world.treasury, data, [], sender=town.OWNER)
                world.say(f"{name}: the owner raises the epoch to {now + 1}")


async def _back_up(world: World) -> float:
    """At once, or just before bytes leave: signed there, and sent as soon as it was made."""
    done = asyncio.Event()

    def make() -> None:
        if not done.is_set():
            world.database.back_up()
            world.say("backup taken")
            done.set()

    if world.dice.chance("backup at a send", 0.5):
        world.before_send = make
        await asyncio.wait({asyncio.ensure_future(done.wait())}, timeout=LONGEST_WAIT)
        world.before_send = lambda: None
    make()
    return world.now()
