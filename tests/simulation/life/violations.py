"""Finality is violated: transactions that the books hold as final leave, or come in another order.

What payers sent may be lost for good; what the daemon sent comes again. No deposit that is taken
back can have been swept for good: the reorg reaches a few blocks below finality only.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable

from chain.model import TRANSFER_TOPIC
from tests.simulation import town
from tests.simulation.chain.blocks import Block, SimChain
from tests.simulation.chain.transactions import Tx
from tests.simulation.world import World


def final_reorgs(world: World) -> Callable[[str, Block], None]:
    """A block in which somebody paid is lost a few blocks after it was final.

    Not where tiers credit early: there such a deposit may be swept for good.
    """

    def look(name: str, block: Block) -> None:
        plan = next(plan for plan in world.plans if plan.name == name)
        pays = any(tx.nonce is None for tx in block.txs) and not plan.tiers
        if pays and world.faults.strikes("reorg_deep_lossy", name):
            # In a context of its own: whoever made the block grow may be a process that dies.
            asyncio.get_running_loop().create_task(
                _lose_later(world, plan, block), context=contextvars.Context()
            )

    return look


async def _lose_later(world: World, plan: town.Plan, block: Block) -> None:
    chain = world.chains[plan.name]
    while chain.head.number < block.number + plan.depth:
        await asyncio.sleep(plan.block_time)
        chain.advance(world.now())
    deep = chain.head.number - block.number + 1
    may = not world.faults.calm and plan.name not in world.forked and deep <= plan.depth + 3
    if may and chain.is_canonical(block):
        lose_final(world, plan, deep)


def lose_final(world: World, plan: town.Plan, depth: int) -> None:
    """A reorg below finality; perhaps the first branch wins again later."""
    chain, dice = world.chains[plan.name], world.dice
    old = chain.head
    payers = {tx_hash for bill in world.bills for _, tx_hash in bill.transactions}

    def fate(tx: Tx) -> str:
        if tx.hash not in payers:
            return "same"
        found = dice.pick(f"final fate|{tx.hash.hex()}", ["drop", "pool", "same"])
        world.counts[f"final payments: {found}"] += 1
        return found

    for block in chain.canonical[-depth:]:
        _note_taken(world, plan.name, block)
    lost = chain.reorg(depth, fate, lambda txs: shuffled(world, txs))
    world.forked[plan.name] = lost[0].number - 1
    world.say(f"{plan.name} reorg of {len(lost)} blocks at {lost[0].number}, with losses")
    if world.faults.strikes("reorg_deep_repaired", plan.name):
        world.repairs.add(plan.name)
        asyncio.get_running_loop().create_task(_repair(world, chain, old))


def shuffled(world: World, txs: list[Tx]) -> list[Tx]:
    """In another order, except that the nonces of a sender stay in theirs."""

    def place(tx: Tx) -> tuple[int, int]:
        return world.dice.fixed(f"order|{tx.hash.hex()}") % 7, 0

    return sorted(txs, key=lambda tx: (3, tx.nonce) if tx.nonce is not None else place(tx))


def _note_taken(world: World, chain: str, block: Block) -> None:
    """What a deposit that may be lost had brought: it can have been paid out already."""
    symbols = {town.token_address(s): s for s in town.REGISTERED}
    found: dict[tuple[str, bytes], list[tuple[int, str, int]]] = defaultdict(list)
    for _, place, log in block.logs():
        if log.address not in symbols or log.topics[0] != TRANSFER_TOPIC:
            continue
        bill = world.by_address.get(log.topics[2][12:])
        if bill is not None:
            part = (bill.merchant, symbols[log.address], int.from_bytes(log.data))
            found[chain, block.txs[place].hash].append(part)
    world.taken |= found


async def _repair(world: World, chain: SimChain, old: Block) -> None:
    """Only where the daemon stands still: what it did on the other branch would be final there."""
    await asyncio.sleep(world.dice.seconds(f"repaired after|{chain.name}", 120, 900))
    world.repairs.discard(chain.name)
    cursor = world.books.execute(
        "SELECT halted_reason FROM chain_cursors WHERE chain = ?", (chain.name,)
    ).fetchone()
    if cursor is None or not cursor["halted_reason"]:
        return
    chain.advance(world.now())
    lost = chain.switch_to(old, 1)
    world.counts["chains repaired"] += 1
    world.say(f"{chain.name} is repaired: back to {old.hash.hex()[:8]}, {len(lost)} blocks lost")
