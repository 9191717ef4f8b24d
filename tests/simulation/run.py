"""One seed from beginning to end."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tests.simulation.checks.quiet import quiet_period, settle_readiness
from tests.simulation.checks.steps import StepChecks
from tests.simulation.image_postgres import Server
from tests.simulation.life import issuers, operators, people, weather
from tests.simulation.life.approver import approver
from tests.simulation.life.bookkeeper import bookkeeper
from tests.simulation.life.disasters import epochs, restored_backup
from tests.simulation.life.hooks import register, webmasters
from tests.simulation.life.keys import locksmiths
from tests.simulation.life.moving import movers
from tests.simulation.life.offline import keep_signed
from tests.simulation.life.owner import owner
from tests.simulation.life.refunds import givers
from tests.simulation.life.strangers import strangers
from tests.simulation.life.violations import final_reorgs
from tests.simulation.machine.loop import VirtualLoop
from tests.simulation.world import Scale, World

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: the database's image lies there."""


@dataclass
class Report:
    """What came of a seed."""

    seed: int
    violations: list[str] = field(default_factory=list)
    days: float = 0.0
    steps: int = 0
    real_seconds: float = 0.0
    """Of one core: the machine may be shared."""
    faults: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    trace: list[str] = field(default_factory=list)


def run_seed(
    seed: int, given: Mapping[str, float] | None = None, scale: Scale | None = None,
    server: Server | None = None, *, loud: bool = False,
) -> Report:  # fmt: skip
    """Live through one seed; every violation is in the report, nothing is raised.

    :param server: of PostgreSQL, with its template prepared; none: SQLite.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"bursar-sim-{seed}-", dir=memory()))
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    began = time.process_time()
    report = Report(seed)
    world = None
    try:
        world = World(seed, loop, folder, given or {}, scale or Scale(), server)
        world.loud = loud
        _listen_to_logs(world)
        loop.set_exception_handler(lambda _loop, context: _unhandled(world, context))
        loop.run_until_complete(_live_or_end(world))
    except Exception:  # noqa: BLE001 - a simulator that breaks is a finding too
        report.violations.append("simulator: " + traceback.format_exc(limit=-6))
    finally:
        if world is not None:
            _fill_in(report, world)
            world.database.close()
        report.real_seconds = time.process_time() - began
        shutil.rmtree(folder, ignore_errors=True)
    return report


def memory() -> Path | None:
    """Where databases lie."""
    return MEMORY if MEMORY.is_dir() else None


async def _live_or_end(world: World) -> None:
    """The whole of it, or until something that must never happen has happened."""
    living = asyncio.create_task(_live(world))
    over = asyncio.create_task(world.over.wait())
    await asyncio.wait({living, over}, return_when=asyncio.FIRST_COMPLETED)
    if living.done():
        living.result()


async def _live(world: World) -> None:
    checks = StepChecks(world)
    world.on_commit = checks
    world.on_restore = checks.begin_again
    looks = (
        weather.aimed_reorgs(world),
        final_reorgs(world),
        issuers.deposit_lists(world),
    )
    world.on_block = lambda chain, block: [look(chain, block) for look in looks]
    slots = ["d0", "d1"] if world.faults.strikes("two_daemons", "seed") else ["d0"]
    chores = [asyncio.create_task(weather.keep_running(world, slot)) for slot in slots]
    chores.append(asyncio.create_task(keep_signed(world)))
    await settle_readiness(world)
    merchants = [await _open(world, n) for n in range(world.scale.merchants)]
    storms = [asyncio.create_task(weather.chain_weather(world, plan)) for plan in world.plans]
    storms += [asyncio.create_task(weather.machine_weather(world, slot)) for slot in slots]
    storms += [
        asyncio.create_task(operators.operator(world)),
        asyncio.create_task(issuers.issuer(world)),
        asyncio.create_task(restored_backup(world)),
        asyncio.create_task(epochs(world)),
        asyncio.create_task(strangers(world)),
        asyncio.create_task(owner(world)),
        asyncio.create_task(givers(world)),
        asyncio.create_task(approver(world)),
        asyncio.create_task(movers(world)),
        asyncio.create_task(webmasters(world)),
        asyncio.create_task(locksmiths(world)),
        asyncio.create_task(bookkeeper(world)),
        *(asyncio.create_task(weather.stopping(world, plan)) for plan in world.plans),
    ]
    chores.append(asyncio.create_task(operators.treasurer(world)))
    chores.append(asyncio.create_task(weather.shepherd(world)))
    chores.append(asyncio.create_task(issuers.clerk(world)))
    customers = [
        asyncio.create_task(_arrive(world, merchants, n)) for n in range(world.scale.invoices)
    ]
    await asyncio.sleep(world.scale.days * 86_400)
    await asyncio.gather(*customers)
    world.faults.calm = True
    await asyncio.gather(*storms)
    await quiet_period(world)
    checks()
    world.steps = checks.steps  # type: ignore[attr-defined]
    for task in chores:
        task.cancel()


async def _open(world: World, number: int) -> people.Merchant:
    merchant = await people.open_shop(world, number)
    await register(world, merchant, merchant.url)
    return merchant


async def _arrive(world: World, merchants: list[people.Merchant], place: int) -> None:
    """Customers come in bursts, as they do."""
    hours = world.scale.days * 24
    rush = world.dice.fixed(f"rush|{place // 5}") % int(max(1, (hours - 8) * 3600))
    await asyncio.sleep(rush + world.dice.fixed(f"arrives|{place}") % 900)
    merchant = merchants[world.dice.fixed(f"shop|{place}") % len(merchants)]
    await people.customer(world, merchant, place)


def _fill_in(report: Report, world: World) -> None:
    report.violations += world.violations
    report.days = world.now() / 86_400
    report.steps = getattr(world, "steps", 0)
    report.faults = dict(world.faults.struck)
    report.counts = dict(world.counts) | {
        "starts": world.starts, "deaths": world.deaths, "requests": world.transport.requests,
        "webhooks": world.mailbox.attempts, "callbacks": world.loop.steps,
    }  # fmt: skip
    report.fingerprint = world.fingerprint
    report.trace = list(world.trace)


def _unhandled(world: World, context: dict[str, Any]) -> None:
    error = context.get("exception")
    world.violated("I14", f"nobody looked at: {context.get('message')}: {error!r}")


def _listen_to_logs(world: World) -> None:
    """The daemon's own log: a task that died of what nobody foresaw is a violation."""

    def take(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        name = event.get("event")
        if name in ("task_died", "request_died"):
            text = "".join(traceback.format_exc(limit=-4)).strip()
            world.violated("I14", f"{name} {event.get('task', '')}: {text}")
        elif world.loud or name in ("task_failed", "task_ended", "settlement_tick_failed"):
            shown = {k: v for k, v in event.items() if k != "event"}
            world.say(f"log {name} {shown}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[take],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
