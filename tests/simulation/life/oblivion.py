"""A database restored without its journal: what the runbook has the operator do then.

Only the chain tells what was paid since the backup. What it cannot tell, whose an unknown
recipient is and which signed batches are still about, people have to know.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from bursar.compose import House
from chain.abi import encode_call
from chain.model import TRANSFER_TOPIC
from config.money import parse_units
from ledger.pauses import pause
from tests.simulation import town
from tests.simulation.chain.batches import meaning_of
from tests.simulation.chain.blocks import SimChain
from tests.simulation.daemon import in_house
from tests.simulation.life.operators import release_holds, resume_all
from tests.simulation.life.people import ask, send, want_money_at
from tests.simulation.world import World

MINUTE = 60.0
PATIENCE = 30
"""Minutes for which an operator waits for the comparison before he resumes all the same."""


async def move_shop(world: World) -> None:
    """After the backup one merchant wants his money elsewhere: the books will not know where."""
    merchant = world.dice.pick("moves", world.merchants)
    for chain in world.chains:
        merchant.former.append((chain, merchant.destinations[chain]))
        merchant.destinations[chain] = town.account(f"moved {merchant.number} {chain}")
        await want_money_at(world, merchant, chain, "moved")
    world.say(f"shop {merchant.number} has moved")


def lose_journal(world: World) -> None:
    """With it goes all knowledge of what was signed and sent."""
    (world.folder / "books.journal").unlink(missing_ok=True)
    world.sent_before = world.sent_before | world.sent
    world.sent = {}
    world.without_journal = True
    world.say("the journal is lost too")


async def before_the_start(world: World) -> None:
    """Stray batches are killed by a new epoch, final before anything starts; payouts pause."""
    for name, chain in world.chains.items():
        if _strays(world, chain) or world.dice.chance(f"raises to be safe|{name}", 0.5):
            await _raise_epoch(world, chain)
    for _ in range(PATIENCE):
        if await _pause_all(world):
            break
        await asyncio.sleep(MINUTE)


async def _pause_all(world: World) -> bool:
    async def work(house: House) -> None:
        async with house.ledger.transaction() as tx:
            await pause(tx, "all", "restored without a journal")

    world.starts += 1
    run = partial(in_house, "operator", world.starts, world.seed)
    return await run(world.settings, town.secrets(), world.edges, work)


def _strays(world: World, chain: SimChain) -> bool:
    """Whether a batch was signed and sent that has not finally run: anybody may submit it."""
    plan = next(p for p in world.plans if p.name == chain.name)
    slots = chain.canonical[max(0, chain.head.number - 2 * plan.depth)].slots
    assert slots is not None
    epoch = slots.get((world.treasury, "epoch"), 0)
    for (name, _, _), attempts in world.sent_before.items():
        what, _, key = meaning_of(next(iter(attempts.values()))).partition(" ")
        if name == chain.name and what == "batch":
            of, number = map(int, key.split("/"))
            if of >= epoch and not slots.get((world.treasury, "executed", of, number)):
                return True
    return False


async def _raise_epoch(world: World, chain: SimChain) -> None:
    """Sent again for as long as reorgs take it out, until it is final."""
    plan = next(p for p in world.plans if p.name == chain.name)
    wanted = _epoch(world, chain, 0) + 1
    while _epoch(world, chain, 2 * plan.depth) < wanted:
        chain.advance(world.now())
        waiting = any(tx.sender == town.OWNER for tx in chain.mempool.values())
        if not waiting and _epoch(world, chain, 0) < wanted:
            data = encode_call("raiseEpoch(uint64)", _epoch(world, chain, 0) + 1)
            send(world, chain.name, world.treasury, data, [], sender=town.OWNER)
            world.say(f"{chain.name}: the owner raises the epoch to {wanted}")
        await asyncio.sleep(chain.block_time)


def _epoch(world: World, chain: SimChain, depth: int) -> int:
    """As of so many blocks below the head."""
    slots = chain.canonical[max(0, chain.head.number - depth)].slots
    assert slots is not None
    return slots.get((world.treasury, "epoch"), 0)


async def after_the_start(world: World) -> None:
    """Wait for the comparison, resolve what it could not explain, tell the shops, resume."""
    for _ in range(PATIENCE):
        await asyncio.sleep(MINUTE)
        if world.faults.calm or _compared(world):
            break
    await resolve_suspense(world)
    await release_holds(world)
    for merchant in world.merchants:
        for chain in world.chains:
            if merchant.former:
                await want_money_at(world, merchant, chain, "moved-again")
    await resume_all(world)


def _compared(world: World) -> bool:
    rows = world.books.execute("SELECT fencing_token, ready_token FROM leases").fetchall()
    return all(row["ready_token"] == row["fencing_token"] for row in rows)


async def resolve_suspense(world: World) -> None:
    """What left for a shop's address was paid to the shop that has it, and becomes his debt;
    what left for the owner's was his."""
    if not (world.without_journal or world.withdrawals):
        return
    answer = await ask(world, "GET", "/v1/admin/suspense", town.ADMIN_KEY)
    for row in answer["data"]:
        for entry in row["entries"]:
            new = entry["posting"] not in world.resolved
            if row["side"] == "suspense_out" and entry["tx_hash"] and new:
                world.resolved.add(entry["posting"])
                await _resolve(world, row, entry)


async def _resolve(world: World, row: dict[str, Any], entry: dict[str, Any]) -> None:
    owner = _owner(world, row, entry)
    if owner is None:
        world.violated("I3", f"{entry['amount']} {row['token']} went to a stranger: {entry}")
        return
    world.say(f"operator resolves {entry['amount']} {row['token']} on {row['chain']}: {owner}")
    world.counts["outflows resolved"] += 1
    given = {
        "side": "suspense_out", "chain": row["chain"], "token": row["token"],
        "amount": entry["amount"], "reason": "seen in an explorer", **owner,
    }  # fmt: skip
    await ask(
        world, "POST", "/v1/admin/suspense/resolve", town.ADMIN_KEY, given, once=entry["posting"]
    )


def _owner(world: World, row: dict[str, Any], entry: dict[str, Any]) -> dict[str, str] | None:
    """Whose a transfer out of the treasury was, as an explorer shows it."""
    chain, symbol = world.chains[row["chain"]], row["token"]
    amount = parse_units(entry["amount"], town.DECIMALS[symbol])
    tx_hash = bytes.fromhex(entry["tx_hash"][2:])
    block = chain.place_of(tx_hash)
    assert block is not None
    homes: dict[bytes, dict[str, str]] = {town.BANK: {"to": "owner"}}
    for merchant in world.merchants:
        whose = {"to": "merchant", "merchant": merchant.id}
        homes |= dict.fromkeys(merchant.paid_at(chain.name), whose)
        homes |= {r.address: whose for r in world.refunds if r.merchant == merchant.number}
    for number, place, log in block.logs():
        found = (chain.name, tx_hash, number)
        if block.txs[place].hash != tx_hash or found in world.explained:
            continue
        if log.address != town.token_address(symbol) or log.topics[0] != TRANSFER_TOPIC:
            continue
        out = log.topics[1][12:] == world.treasury and int.from_bytes(log.data) == amount
        if out and log.topics[2][12:] in homes:
            world.explained.add(found)
            return homes[log.topics[2][12:]]
    return None
