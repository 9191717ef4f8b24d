"""The machine's edges with their faults: database moments, threads, broadcasts, webhooks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.webhooks.sender import Message, Reply, judged
from tests.simulation.faults import Faults
from tests.simulation.machine.loop import PROCESS, Process

DATABASE_FAULTS = {
    "begin": "db_begin",
    "statement": "db_statement",
    "commit": "db_commit",
    "committed": "db_committed",
}


@dataclass
class SimMoments:
    """A :class:`tests.simulation.machine.database.Moments`."""

    faults: Faults
    on_change: Callable[[Process], None]

    async def at_database(self, process: Process, moment: str) -> None:
        about = f"{process.name}|{moment}"
        killer = "kill_at_commit" if moment.startswith("commit") else "kill"
        if self.faults.strikes(killer, about):
            await process.die()
        if self.faults.strikes(DATABASE_FAULTS[moment], about):
            raise sqlite3.OperationalError("disk I/O error")
        if moment != "statement":
            await asyncio.sleep(0)  # others get their turn
            if process.dead:
                await process.die()

    def on_wire(self, process: Process, moment: str) -> str:
        """The same on PostgreSQL, where connections break, too."""
        about = f"{process.name}|{moment}"
        killer = "kill_at_commit" if moment.startswith("commit") else "kill"
        if self.faults.strikes(killer, about):
            return "dies"
        if not self.faults.strikes(DATABASE_FAULTS[moment], about):
            return ""
        # A server that answers lets one begin, and does not take back what is committed.
        fates = ["lost", "refused"] if moment in ("statement", "commit") else ["lost"]
        return self.faults.dice.pick(f"database|{about}", fates)

    def delay(self, process: Process) -> float:
        """An answer that takes its time: others run meanwhile, and its locks are held."""
        if not self.faults.strikes("db_slow", process.name):
            return 0.0
        return self.faults.dice.seconds(f"db_slow|{process.name}", 0.001, 3.0)

    def changed(self, process: Process) -> None:
        self.on_change(process)


def executor(process: Process, faults: Faults, journal: Path) -> Callable[..., Any]:
    """Runs what goes to threads: opening files, and the journal, where death may leave a stump."""

    def run(func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        before = journal.stat().st_size if journal.exists() else 0
        result = func(*args)
        after = journal.stat().st_size if journal.exists() else 0
        if after > before > 0 and faults.strikes("kill_while_writing", process.name):
            with journal.open("r+b") as file:
                file.truncate(faults.dice.between("torn", before, after - 1))
            process.kill()
        return result

    return run


@dataclass
class Mailbox:
    """Every merchant's webhook endpoint; a :class:`gateway.webhooks.sender.Sender`."""

    faults: Faults
    taken: dict[str, list[str]] = field(default_factory=dict)
    """Event ids by URL, in the order in which each was first answered with 200."""
    attempts: int = 0
    gone: set[str] = field(default_factory=set)
    """URLs at which nobody is any more: 410."""
    told_gone: set[str] = field(default_factory=set)
    """Of them, those that have said so."""
    on_arrival: Callable[[Message, datetime], None] = lambda _message, _now: None
    """Told of each attempt as it begins."""

    async def send(self, message: Message, now: datetime) -> Reply:
        process = PROCESS.get()
        assert process is not None
        self.attempts += 1
        self.on_arrival(message, now)
        about = f"{message.url}|{message.event_id}"
        if self.faults.holds("webhook_down", message.url, 600.0):
            await asyncio.sleep(0.01)
            return Reply("failed", error="ClientConnectorError")
        if self.faults.strikes("webhook_slow", about):
            await asyncio.sleep(10.0)
            return Reply("failed", error="no answer within 10 s")
        await asyncio.sleep(0.02)
        assert json.loads(message.body)["id"] == message.event_id
        if message.url in self.gone:
            self.told_gone.add(message.url)
            return judged(410)
        fails = self.faults.strikes("webhook_fails", about)
        taken = self.taken.setdefault(message.url, [])
        # An endpoint may have taken what it then answers with an error.
        if not fails and message.event_id not in taken:
            taken.append(message.event_id)
        if process.dead:
            await process.die()
        return Reply("failed", 500, "the endpoint answered 500") if fails else Reply("ok", 200)
