"""Operators: they pause, resume, rescan, settle, release what is held, fill up what is empty."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import Any

from bursar.actions.switches import clear_in
from bursar.compose import House
from ledger.presigned import LOST_PLACE
from ledger.times import utc_time
from tests.simulation import town
from tests.simulation.daemon import in_house
from tests.simulation.life.listed import about, left_alone
from tests.simulation.life.people import ask
from tests.simulation.life.weather import strikes
from tests.simulation.world import World

HALT_SECONDS = 60.0
"""Within which readiness has to know of a halt; timers are coarse."""


async def operator(world: World) -> None:
    """One pair of hands, busy until the quiet period begins."""
    paused = False
    while not world.faults.calm:
        await asyncio.sleep(60.0)
        await clear_halts(world)
        if world.foreign and world.dice.chance("looks after lanes", 0.2):
            await release_holds(world, only="lane")
        if world.sentences and world.dice.chance("looks at who is listed", 0.1):
            await release_holds(world, listed=True)
        if strikes(world, "operator_pauses", "all"):
            only = world.dice.pick("pause what", [None, "payouts", "sweeps"])
            body: dict[str, Any] = {} if only is None else {"only": only}
            path = "/v1/admin/resume" if paused else "/v1/admin/pause"
            await _do(world, path, {} if paused else body)
            paused = not paused
        if strikes(world, "operator_runs", "all"):
            await _do(world, "/v1/admin/payouts/run", {})
        if strikes(world, "operator_rescans", "all"):
            await rescan(world, world.dice.pick("rescan", sorted(world.chains)))
    await resume_all(world)


async def _do(world: World, path: str, body: dict[str, Any]) -> Any:
    world.counts["operator"] += 1
    world.say(f"operator: {path} {body}")
    return await ask(
        world, "POST", path, town.ADMIN_KEY, body, once=f"operator-{world.counts['operator']}"
    )


async def resume_all(world: World) -> None:
    """Whatever was paused goes on: each scope by itself."""
    answer = await ask(world, "GET", "/v1/admin/paused", town.ADMIN_KEY)
    for pause in answer["paused"]:
        what, _, chain = pause["scope"].partition(":")
        body: dict[str, Any] = {} if what == "all" else {"only": what}
        if chain:
            body["chain"] = chain.split("/")[0]
        await _do(world, "/v1/admin/resume", body)


async def release_holds(world: World, only: str = "", *, listed: bool = False) -> int:
    """Look at what is held, and let it go on; returns how many there were.

    :param only: holds of one kind.
    :param listed: those alone that have to do with somebody whom an issuer has listed.
    """
    answer = await ask(world, "GET", "/v1/admin/holds?limit=100", town.ADMIN_KEY)
    for hold in answer["data"]:
        place = hold["object"]["id"]
        if only not in ("", hold["kind"]) or (listed and about(world, hold) is None):
            continue
        disputed = place.endswith("/receipt") and hold["kind"] == "payment"
        if disputed and not _explorer_shows(world, place):
            _replace_liars(world, place.split("/")[0])
            continue
        if place == LOST_PLACE:
            continue  # the next file that is imported ends it
        if world.sentences and await left_alone(world, hold):
            continue
        world.say(f"operator releases {hold['kind']}: {hold['reason']}")
        world.counts[f"{hold['kind']} holds released"] += 1
        if hold["kind"] == "payout":
            world.released.add(place)
        await _do(world, f"/v1/admin/holds/{hold['id']}/release", {})
    return len(answer["data"])


def _explorer_shows(world: World, place: str) -> bool:
    """Whether the payment's transfer is on the chain (``payment-not-borne-out.md``).

    :param place: what the hold is about, ``CHAIN/pay_…/receipt``.
    """
    chain, payment, _ = place.split("/")
    row = world.books.execute(
        "SELECT tx_hash, ordinal FROM payments WHERE id = ?", (payment,)
    ).fetchone()
    block = None if row is None else world.chains[chain].place_of(row["tx_hash"])
    if block is None:
        return False
    place_there = next(n for n, tx in enumerate(block.txs) if tx.hash == row["tx_hash"])
    return int(row["ordinal"]) < len(block.results[place_there].logs)


def _replace_liars(world: World, chain: str) -> None:
    """Another provider in the place of one that showed what is not there."""
    for provider in world.providers.values():
        if provider.node.chain.name == chain and provider.forged:
            world.say(f"operator replaces a provider of {chain}")
            provider.liar = provider.forges = False
            provider.forged.clear()


async def clear_halts(world: World) -> None:
    """``bursar chain clear --to-block`` where a chain halted below what both histories share."""
    for chain, shared in list(world.forked.items()):
        if chain in world.repairs:
            await _stands_still(world, chain)
            continue  # the runbook: wait until it is over
        cursor = world.books.execute(
            "SELECT * FROM chain_cursors WHERE chain = ?", (chain,)
        ).fetchone()
        if cursor is None or not cursor["halted_reason"]:
            # Not while it stands below: it may have read the branch that is gone, and not stored it.
            beyond = cursor is not None and cursor["cursor_block"] > shared
            if cursor is None or (beyond and _follows(world, chain, cursor)):
                del world.forked[chain]  # it was above finality, as this daemon saw it
            continue

        world.starts += 1
        world.say(f"operator clears {chain} to block {shared}")
        edges, settings = world.edges, world.settings
        block = min(shared, cursor["cursor_block"])
        repaired = _follows(world, chain, cursor)
        clear = partial(_clear, chain=chain, block=None if repaired else block)
        if await in_house(
            "operator", world.starts, world.seed, settings, town.secrets(), edges, clear
        ):
            del world.forked[chain]
            world.counts["halts cleared"] += 1


async def _clear(house: House, *, chain: str, block: int | None) -> None:
    await clear_in(house, chain, block)


async def _stands_still(world: World, chain: str) -> None:
    """I10: where finality was violated for a minute already, the daemon is not ready."""
    halted = world.books.execute(
        "SELECT halted_at FROM chain_cursors WHERE chain = ? AND halted_reason IS NOT NULL",
        (chain,),
    ).fetchone()
    server = world.serving()
    if halted is None or server is None:
        return
    since = (server.clock.now() - utc_time(halted["halted_at"])).total_seconds()
    answer = await server.call("GET", "/readyz", "nobody")
    if since > HALT_SECONDS and answer is not None and answer[0] == 200:
        world.violated("I10", f"{chain} has been halted for {since:.0f} s, and the daemon is ready")
    world.counts["halts seen"] += 1


def _follows(world: World, chain: str, cursor: Any) -> bool:
    for height in ("cursor", "final"):
        block = world.chains[chain].at(cursor[f"{height}_block"])
        if block is None or block.hash != cursor[f"{height}_hash"]:
            return False
    return True


async def rescan(world: World, chain: str) -> None:
    """``bursar rescan`` of some blocks that were read: here its row, as the command writes it."""
    cursor = world.books.execute(
        "SELECT start_block, cursor_block FROM chain_cursors WHERE chain = ?", (chain,)
    ).fetchone()
    if cursor is None or cursor["cursor_block"] < cursor["start_block"]:
        return  # nothing was read yet
    first = world.dice.between("rescan from", cursor["start_block"], cursor["cursor_block"])
    last = min(first + 200, cursor["cursor_block"])
    world.say(f"operator rescans {chain} {first}-{last}")
    try:
        world.books.execute(
            "INSERT INTO rescans (chain, first_block, last_block, next_block, trigger, created_at)"
            " VALUES (?, ?, ?, ?, 'command', '2026-03-28T20:00:00.000000Z')",
            (chain, first, last, first),
        )
    except sqlite3.OperationalError:
        world.say("the books were locked: no rescan")


def fill_up(world: World) -> None:
    """Gas money for every sponsor, from nowhere."""
    ring, _ = town.keyring()
    for chain in world.chains.values():
        assert chain.head.slots is not None
        for lane in ("sweeps", "payouts"):
            chain.head.slots["wei", ring.sponsor(lane).address] = town.SPONSOR_WEI


async def treasurer(world: World) -> None:
    """Fills the sponsors up half-way through."""
    await asyncio.sleep(world.scale.days * 86_400 / 2)
    fill_up(world)
