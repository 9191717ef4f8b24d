"""The machine that holds the seed of deposit addresses, on no network, and who carries its files.

Files are small: a daemon runs short of addresses again and again, and refuses invoices meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from functools import partial
from pathlib import Path

from bursar.actions.presigned import DelegateParts, import_in, presign
from bursar.compose import House
from ledger.presigned import LOST_PLACE
from tests.simulation import town
from tests.simulation.daemon import in_house
from tests.simulation.world import World

MINUTE = 60.0
FEW = 3
"""Addresses left at which somebody goes for more."""


async def keep_signed(world: World) -> None:
    """Sign more and carry them over whenever few are left; for ever."""
    if world.deposit_kind != "presigned":
        return
    world.signed_offline = world.dice.pick("first index", [0, 0, 7, 1000])
    for number in range(1_000_000):
        await world.image.wait()
        ends, after = _state(world)
        if ends - after >= FEW and not _is_lost(world):
            await asyncio.sleep(MINUTE)
            continue
        if number and not world.faults.calm:
            await asyncio.sleep(world.dice.seconds("carried over", 10, 900))
            await world.image.wait()
            ends, after = _state(world)
        more = world.dice.between("addresses in a file", 1, 6)
        await _bring_more(world, ends, max(after - ends, world.signed_offline - ends) + more)


def _state(world: World) -> tuple[int, int]:
    """Where the imported addresses end, and which index is handed out next."""
    (after,) = world.books.execute("SELECT MAX(next_index) FROM address_counter").fetchone()
    ends = [r["next_index"] for r in world.books.execute("SELECT next_index FROM presigned_sets")]
    first = world.signed_offline
    return min(ends, default=first), max(after or 0, 0 if ends else first)


async def _bring_more(world: World, first: int, count: int) -> None:
    """A file from where the imported ones end: it may hold what was signed before."""
    world.starts += 1
    file = world.folder / f"signed-{world.starts}.jsonl"
    chains = [plan.name for plan in world.plans]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        presign(
            town.offline_settings(world.settings, world.folder), town.secrets(),
            chains=chains, first=first, count=count, output=file, parts=DelegateParts(),
        )  # fmt: skip
    lost = _is_lost(world)
    known, world.signed_offline = world.signed_offline, max(world.signed_offline, first + count)
    work = partial(_import, file=file, hand_out_from=known if lost else None)
    run = partial(in_house, "operator", world.starts, world.seed)
    done = await run(world.settings, town.secrets(), world.edges, work)
    file.unlink()
    world.counts["files imported"] += done
    world.say(f"operator imports addresses {first} to {first + count - 1}: {done}")


def _is_lost(world: World) -> bool:
    """Whether a lost journal has to be made up for: the hold says so."""
    query = "SELECT 1 FROM holds WHERE object_id = ? AND released_at IS NULL"
    return world.books.execute(query, (LOST_PLACE,)).fetchone() is not None


async def _import(house: House, *, file: Path, hand_out_from: int | None) -> None:
    with contextlib.redirect_stderr(io.StringIO()):  # its progress; nothing else writes there
        await import_in(house, file, hand_out_from)
