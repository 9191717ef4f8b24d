"""``bursar run``: start-up checks, tasks under supervision, a listening door, a clean stop.

::

    checks → listen → tasks run ……… SIGTERM → stop taking work → leases given back → exit 0
      │                                │
      └ refuse: one line, exit 1       └ at most 17 s; a second signal: at most 3

Nothing is kept in memory that the next start would need: a ``kill -9`` at any
point is the same as a stop, only without its courtesies.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from bursar.allocator import keep_little
from bursar.compose import House, Outside, open_house
from bursar.door import Door, operations_app
from bursar.metrics.families import Families
from bursar.metrics.figures import BooksGauges
from bursar.metrics.labels import begin_at_zero
from bursar.metrics.process import RpcMetrics, TaskMetrics
from bursar.monitor import ChainMonitor
from bursar.readiness import ChainFacts, Worker, database_check, judge_chain, judge_tasks
from bursar.recent import Recent
from bursar.roles import WITH_API, WITH_SIGNERS, Role, Roles
from bursar.startup import ChainGate, first_look, prepare_database, tell_left_out
from bursar.supervision import Supervisor
from config.log import get_logger
from config.settings import Secrets, Settings
from config.waiting import wait
from gateway.deps import Check, Readiness
from ledger.figures import chain_figures, halted_lanes
from ledger.migrate import head_revision
from ledger.store import ping

log = get_logger(__name__)

_DATABASE_SECONDS: Final = 5.0
_READINESS_SECONDS: Final = 5.0
_JUDGED_SECONDS: Final = 0.5
"""How long a judgement holds: ``/readyz`` is open to everybody, and each reads the books."""


async def serve(
    settings: Settings,
    secrets: Secrets,
    *,
    role: Role,
    chain: str | None = None,
    outside: Outside | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run until SIGTERM, SIGINT, or ``stop`` is set.

    :raises BursarError: refused to start; nothing was changed but an empty SQLite file made.
    """
    keep_little()
    families = Families()
    stop, hurry = stop or asyncio.Event(), asyncio.Event()
    chains = None if chain is None else [chain]
    with _signals(stop, hurry):
        async with open_house(
            settings, secrets, outside, chains=chains, observer=RpcMetrics(families)
        ) as house:
            begin_at_zero(families, house.catalogue)
            families.build_info.labels(version("bursar"), head_revision(), role).set(1)
            await prepare_database(house)
            await tell_left_out(house)
            await Daemon(house, role, families, stop, hurry).run()
    log.info("stopped")


@contextmanager
def _signals(stop: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
    """The first signal stops, the second hurries; both are safe at any time, start-up included."""
    loop = asyncio.get_running_loop()

    def on_signal(name: str) -> None:
        log.info("hurrying" if stop.is_set() else "stopping", signal=name)
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class Daemon:
    """One process of one role."""

    def __init__(
        self,
        house: House,
        role: Role,
        families: Families,
        stop: asyncio.Event,
        hurry: asyncio.Event,
    ) -> None:
        self._house = house
        self._stop = stop
        self._role: Role = role
        self._families = families
        chains = house.chain_settings() if role != "gateway" else ()
        self._gates = {c.name: ChainGate(house, c) for c in chains}
        self._monitors = {
            c.name: ChainMonitor(c, house.chains[c.name], families, house.clock) for c in chains
        }
        self._gauges = BooksGauges(
            families,
            house.ledger,
            house.clock,
            presigned=house.settings.wallets.deposits == "presigned",
        )
        self._supervisor = Supervisor(
            clock=house.clock,
            entropy=house.entropy,
            observer=TaskMetrics(families),
            hurry=hurry,
        )
        self._roles: Roles | None = None
        self._judged = Recent(self._judge, house.clock, seconds=_JUDGED_SECONDS)

    async def run(self) -> None:
        """Check, listen, work, stop."""
        roles = await Roles.prepare(self._house, self._role, self._families)
        await first_look(list(self._gates.values()))
        self._roles = roles
        door = await self._open(roles)
        try:
            self._add_tasks(roles, door)
            log.info("listening", url=door.url, role=self._role, chains=list(self._gates))
            await self._supervisor.run(self._stop)
        finally:
            await door.close()

    async def _open(self, roles: Roles) -> Door:
        http, listen = self._house.settings.http, self._house.outside.door
        if self._role in WITH_API:
            app = roles.gateway_app(self.readiness, self.metrics)
            return await listen(app, http, any_port=False)
        return await listen(operations_app(self.readiness, self.metrics), http, any_port=True)

    def _add_tasks(self, roles: Roles, door: Door) -> None:
        self._supervisor.add("http", door.run)
        self._supervisor.add("figures", self._gauges.run)
        self._supervisor.add("readiness", self._watch_readiness)
        for name, monitor in self._monitors.items():
            self._supervisor.add(f"monitor:{name}", monitor.run)
        for task in roles.tasks():
            gate = self._gates[task.chain] if task.chain is not None else None
            self._supervisor.add(task.name, task.work if gate is None else gate.guarding(task.work))

    async def readiness(self) -> Readiness:
        """All checks of this process, at most half a second ago."""
        checks = list(await self._judged.get(()))
        if self._stop.is_set():
            checks.append(Check("process", False, "stopping"))
        found = Readiness(checks)
        self._families.ready.set(int(found.ready))
        return found

    async def _judge(self, _all: tuple[()]) -> list[Check]:
        database = await self._database()
        checks = [database, judge_tasks(self._supervisor.down())]
        if database.ok:
            checks += await self._chains()
        if self._role in WITH_SIGNERS:
            # Opened before anything else ran: a process without its signer does not exist.
            checks.append(Check("signer", True))
        return checks

    async def _watch_readiness(self, stop: asyncio.Event) -> None:
        """Keeps the ``ready`` gauge true where nobody probes ``/readyz``."""
        while not await wait(self._house.clock, _READINESS_SECONDS, stop):
            await self.readiness()

    async def _database(self) -> Check:
        try:
            return await asyncio.wait_for(
                database_check(lambda: ping(self._house.ledger)), _DATABASE_SECONDS
            )
        except TimeoutError:
            return Check("database", False, f"no answer in {_DATABASE_SECONDS:.0f} s")

    async def _chains(self) -> list[Check]:
        async with self._house.ledger.reading() as tx:
            books = await chain_figures(tx)
            lanes = await halted_lanes(tx)
        now = self._house.clock.now()
        checks = []
        for chain in self._house.chain_settings():
            if chain.name not in self._gates:
                continue
            monitor = self._monitors[chain.name]
            row = books.get(chain.name)
            facts = ChainFacts(
                gate=self._gates[chain.name].reason,
                halted=row.halted_reason if row else None,
                halted_lanes=[why for (name, _), why in lanes.items() if name == chain.name],
                asked_at=monitor.asked_at,
                head_time=monitor.head_time,
                started_at=monitor.started_at,
                providers=self._house.chains[chain.name].provider_count,
                workers=self._workers(chain.name),
            )
            checks.append(judge_chain(chain, facts, now))
        return checks

    def _workers(self, chain: str) -> list[Worker]:
        """What the chain's own tasks say of themselves; a standby says nothing."""
        if self._roles is None:
            return []
        found = []
        if (watcher := self._roles.watchers.get(chain)) is not None:
            status = watcher.status()
            found.append(Worker("watcher", status.leading, status.problem, status.last_success))
        if (settlement := self._roles.settlements.get(chain)) is not None:
            told = settlement.status()
            found.append(Worker("settlement", told.leading, told.last_error, told.last_tick_at))
        return found

    async def metrics(self) -> bytes:
        """The exposition; touches memory only."""
        self._gauges.show_ages(self._house.clock.now())
        return self._families.exposition()
