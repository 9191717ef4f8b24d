"""SQLite without aiosqlite's thread: statements run inline, where faults and death can strike.

The connection is aiosqlite's own class with its queue taken out, so that
SQLAlchemy's dialect and the ledger's driver work on it unchanged. The file lies
on a memory file system: it is the image that a killed process leaves behind.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.store import make_engine
from tests.simulation.machine.loop import PROCESS, Process

BUSY_SECONDS = 15.0
BUSY_POLL = 0.05


class Moments(Protocol):
    """Told of each moment at which a database can fail or a process die."""

    async def at_database(self, process: Process, moment: str) -> None:
        """``begin``, ``statement``, ``commit``, ``committed``; may raise or never return."""
        ...

    def changed(self, process: Process) -> None:
        """A commit that changed something is in the image."""
        ...


class _Inline:
    """In place of the thread's queue."""

    def put_nowait(self, item: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
        future, function = item
        future.set_result(function())


class InlineConnection(aiosqlite.Connection):
    """An aiosqlite connection that does what it is asked at once."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], moments: Moments) -> None:
        self._running = True
        self._connection: sqlite3.Connection | None = None
        self._connector = connector
        self._iter_chunk_size = 64
        self._tx = _Inline()  # SQLAlchemy puts one call there itself
        self._moments = moments
        self._process = PROCESS.get()
        self._changes = 0

    def __del__(self) -> None: ...

    def __await__(self) -> Any:
        return self._connect().__await__()

    async def _connect(self) -> InlineConnection:
        process = self._process
        assert process is not None, "only a process of the simulation has a database"
        if process.dead:
            await process.die()
        self._connection = self._connector()
        process.at_death.append(self._drop)
        return self

    def _drop(self) -> None:
        """What the kernel does to a dead process' files: an open transaction is gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        self._running = False
        self._drop()

    async def close(self) -> None:
        self.stop()

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        process = self._process
        assert process is not None
        if process.dead:
            await process.die()
        if self._connection is None:
            raise ValueError("Connection closed")
        name = fn.__name__
        if name == "commit":
            return await self._commit(process, fn)
        sql = args[0] if args and isinstance(args[0], str) else ""
        if sql.startswith("PRAGMA busy_timeout"):
            args = ("PRAGMA busy_timeout=0",)  # waiting would stop the only thread there is
        elif sql.startswith("BEGIN"):
            return await self._begin(process, fn, args)
        elif name in ("_run_here", "_execute", "execute", "executemany") and sql[:6] != "SELECT":
            await self._moments.at_database(process, "statement")
        return fn(*args, **kwargs)

    async def _begin(self, process: Process, fn: Any, args: Any) -> Any:
        await self._moments.at_database(process, "begin")
        patience = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            if self._connection is None:
                await process.die()
            try:
                return fn(*args)
            except sqlite3.OperationalError as error:
                late = asyncio.get_running_loop().time() > patience
                if late or "locked" not in str(error):
                    raise
            await asyncio.sleep(BUSY_POLL)

    async def _commit(self, process: Process, fn: Any) -> Any:
        assert self._connection is not None
        changes = self._connection.total_changes
        if changes == self._changes:
            return fn()
        await self._moments.at_database(process, "commit")
        if self._connection is None:
            await process.die()
        result = fn()
        self._changes = changes
        self._moments.changed(process)
        await self._moments.at_database(process, "committed")
        return result


def sim_engine(url: str, moments: Moments) -> AsyncEngine:
    """The product's own engine over inline connections."""

    def connect(*args: Any, **kwargs: Any) -> InlineConnection:
        return InlineConnection(lambda: sqlite3.connect(*args, **kwargs), moments)

    return make_engine(url, connect=connect)
