"""What happens to chains and machines: reorgs, frozen processes, clocks, restarts."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from tests.simulation import town
from tests.simulation.chain.blocks import Block, SimChain
from tests.simulation.chain.transactions import Tx
from tests.simulation.daemon import Running
from tests.simulation.life.violations import shuffled
from tests.simulation.machine.loop import VirtualLoop
from tests.simulation.world import World

MINUTE = 60.0
PER_TEN_MINUTES = 0.1
"""Faults by ten minutes are looked at once a minute; a level of 10 is once a minute."""


def strikes(world: World, name: str, about: str) -> bool:
    """Once in ten minutes at this level, looked at each minute."""
    often = PER_TEN_MINUTES * max(1.0, world.faults.level[name])
    if not world.dice.chance(f"minute|{name}|{about}", often):
        return False
    return world.faults.strikes(name, about)


async def chain_weather(world: World, plan: town.Plan) -> None:
    """Reorgs up to finality - 1, back to the first branch now and then; chains that stop."""
    chain = world.chains[plan.name]
    abandoned: Block | None = None
    while not world.faults.calm:
        await asyncio.sleep(MINUTE)
        chain.advance(world.now())
        chain.stopped = world.faults.holds("chain_stops", plan.name, 600.0)
        if plan.name not in world.forked and strikes(world, "reorg_deep", plan.name):
            deep_reorg(world, chain, plan.depth + world.dice.between("deep", 1, 3))
            continue
        if not strikes(world, "reorg", plan.name):
            continue
        old = chain.head
        if (
            abandoned is not None
            and _may_return(chain, plan, abandoned)
            and world.faults.strikes("reorg_back", plan.name)
        ):
            lost = chain.switch_to(abandoned, 1)
            world.say(f"{plan.name} back to {abandoned.hash.hex()[:8]}, {len(lost)} blocks lost")
            stay_behind(world, chain, old)
            abandoned = None
            continue
        deepest = min(plan.depth - 1, chain.head.number - 1)
        if deepest >= 1:
            abandoned = old
            reorg(world, chain, world.dice.between(f"depth|{plan.name}", 1, deepest))
    chain.stopped = False


async def stopping(world: World, plan: town.Plan) -> None:
    """One of several providers stands still from some moment on, and answers as if it did not."""
    urls = town.provider_urls(plan)
    if len(urls) < 2 or not world.faults.strikes("rpc_stopped", plan.name):
        return
    await asyncio.sleep(world.dice.seconds(f"stops|{plan.name}", 60, world.scale.days * 86_400))
    chain, url = world.chains[plan.name], world.dice.pick(f"stops|{plan.name}|who", urls)
    chain.advance(world.now())
    chain.kept.add(chain.head)
    world.providers[url].stands_at = chain.head
    world.say(f"{url} stands still at block {chain.head.number}")


def aimed_reorgs(world: World) -> Callable[[str, Block], None]:
    """A block is replaced while it still can be: one in which somebody paid, as a double spender
    does, or one in which a transaction of ours ran."""

    def look(name: str, block: Block) -> None:
        theirs = any(tx.nonce is None for tx in block.txs)
        ours = any(tx.nonce is not None for tx in block.txs)
        # Both are asked, so that neither changes what the other is told.
        aims = [theirs and world.faults.strikes("reorg_deposit", name)]
        aims.append(ours and world.faults.strikes("reorg_ours", name))
        if any(aims):
            # In a context of its own: whoever made the block grow may be a process that dies.
            asyncio.get_running_loop().create_task(
                _take_back(world, name, block), context=contextvars.Context()
            )

    return look


async def _take_back(world: World, name: str, block: Block) -> None:
    plan = next(plan for plan in world.plans if plan.name == name)
    later = world.dice.between(f"taken back|{name}", 1, plan.depth - 2) if plan.depth > 2 else 1
    await asyncio.sleep(later * plan.block_time + 0.5)
    chain = world.chains[name]
    chain.advance(world.now())
    depth = chain.head.number - block.number + 1
    if not world.faults.calm and chain.is_canonical(block) and depth < plan.depth:
        reorg(world, chain, depth)


def _may_return(chain: SimChain, plan: town.Plan, tip: Block) -> bool:
    """Whether the fork still lies above what is final."""
    block: Block | None = tip
    while block is not None and not chain.is_canonical(block):
        block = block.parent
    return block is not None and chain.head.number - block.number < plan.depth - 1


def reorg(world: World, chain: SimChain, depth: int) -> None:
    """Replace the newest blocks; providers may stay behind on the old branch."""
    old = chain.head

    def fate(tx: Tx) -> str:
        if tx.nonce is None and world.faults.strikes("reorg_drop", tx.hash.hex()):
            return "drop"
        if tx.nonce is not None and world.faults.strikes("reorg_forgotten", tx.hash.hex()):
            return "drop"
        return world.dice.pick(f"fate|{tx.hash.hex()}", ["same", "pool", "pool"])

    otherwise = world.faults.strikes("reorg_reorder", chain.name)
    lost = chain.reorg(depth, fate, partial(shuffled, world) if otherwise else list)
    world.say(f"{chain.name} reorg of {len(lost)} blocks at {lost[0].number}")
    stay_behind(world, chain, old)


def deep_reorg(world: World, chain: SimChain, depth: int) -> None:
    """Below finality. All transactions come again in their order: what was paid out is earned."""
    lost = chain.reorg(depth, lambda _: "same")
    world.forked[chain.name] = lost[0].number - 1
    world.say(f"{chain.name} reorg of {len(lost)} blocks at {lost[0].number}, below finality")


def stay_behind(world: World, chain: SimChain, old: Block) -> None:
    """Some providers follow the abandoned branch for a while."""
    for url, provider in sorted(world.providers.items()):
        if provider.node.chain is chain and world.faults.strikes("rpc_old_branch", url):
            provider.old_tip = old
            provider.old_until = world.now() + world.dice.seconds("behind", 1, 30)


async def shepherd(world: World) -> None:
    """However quiet it is, the daemon is awake for half a minute in half an hour."""
    while True:
        await asyncio.sleep(1800.0)
        world.stir(30.0)


async def keep_running(world: World, slot: str) -> None:
    """The init system: starts the daemon again a few seconds after it died."""
    while True:
        await world.image.wait()
        running = world.boot(slot)
        await _ended(world, running)
        calm = world.faults.calm
        await asyncio.sleep(2.0 if calm else world.dice.seconds(f"down|{slot}", 1, 120))


async def _ended(world: World, running: Running) -> None:
    task = running.task
    assert task is not None
    ended = asyncio.Event()
    running.process.at_death.append(ended.set)
    task.add_done_callback(lambda _: ended.set(), context=contextvars.copy_context())
    await ended.wait()
    if running.process.dead:
        return
    error = task.exception()
    world.say(f"ended {running.process.name}.{running.process.number}: {error!r}")
    if error is not None and not _is_refusal(error):
        world.violated("I14", f"the daemon ended with {error!r}")
    running.process.kill()


def _is_refusal(error: BaseException) -> bool:
    from config.errors import BursarError

    return isinstance(error, BursarError)


async def machine_weather(world: World, slot: str) -> None:
    """Freezes, clock jumps and stops from outside."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    while not world.faults.calm:
        await asyncio.sleep(MINUTE + world.dice.seconds(f"weather|{slot}", 0, 5))
        running = next((r for r in world.running if r.process.name == slot), None)
        if running is None:
            continue
        if strikes(world, "clock_jump", slot):
            running.clock.skew = timedelta(seconds=world.dice.between(f"skew|{slot}", -90, 90))
            world.say(f"clock of {slot} is off by {running.clock.skew}")
        if strikes(world, "frozen", slot):
            await _freeze(world, running, loop)
        if strikes(world, "kill", slot):
            running.process.kill()
    for running in world.running:
        running.clock.skew = timedelta()


async def _freeze(world: World, running: Running, loop: VirtualLoop) -> None:
    running.process.frozen = True
    world.say(f"frozen {running.process.name}")
    await asyncio.sleep(world.dice.seconds("frozen for", 5, 60))
    if not running.process.dead:
        running.process.thaw(loop)
        world.say(f"thawed {running.process.name}")
