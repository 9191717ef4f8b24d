"""Transactions over SQLite or PostgreSQL: whole or nothing, stamped with one time.

What it guarantees: a writing transaction sees all that was committed before
it began to write. SQLite: one writer at a time, from ``BEGIN IMMEDIATE`` on,
with ``synchronous=FULL``, so that a commit survives a power cut. PostgreSQL:
read committed plus row locks taken by the functions that need them.

What it does not: retry. A transaction whose commit failed may have happened;
whoever runs it must be able to run it again (keys, compare-and-set).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from config.catalogue import Catalogue
from config.clock import Clock, Entropy
from config.errors import DatabaseError
from config.ids import new_id, new_ids
from ledger.driver import OPTION, Driver
from ledger.remedies import remedy_of

SQLITE_BUSY_SECONDS: Final = 15
SQLITE_MEMORY: Final = 4 * 1024 * 1024
"""Bytes that SQLite keeps pages in, all connections of the process together."""


@dataclass(frozen=True, slots=True)
class Tx:
    """One open transaction and what its functions may know of the world."""

    conn: AsyncConnection
    driver: Driver
    now: datetime
    entropy: Entropy
    catalogue: Catalogue
    public_url: str
    asked: dict[Any, Any] = field(default_factory=dict)
    """What this transaction has read and need not read again."""

    def new_id(self, prefix: str) -> str:
        """A fresh prefixed id, stamped with the transaction's time."""
        return new_id(prefix, self.now, self.entropy)

    def new_ids(self, prefix: str, count: int) -> list[str]:
        """So many of them."""
        return new_ids(prefix, self.now, self.entropy, count)

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.conn.dialect.name


def make_engine(
    url: str, *, pool_size: int = 10, connect: Callable[..., Any] | None = None
) -> AsyncEngine:
    """Engine for an asyncio database URL; nothing is connected yet.

    :param connect: makes SQLite's connections in place of ``aiosqlite.connect``.
    """
    if url.startswith("sqlite"):
        arguments: dict[str, Any] = {"timeout": SQLITE_BUSY_SECONDS}
        if connect is not None:
            arguments["async_creator_fn"] = connect
        # The connection used last knows what the database holds; another has to read it again,
        # and keeps a copy of its own.
        engine = create_async_engine(url, connect_args=arguments, pool_use_lifo=True)
        _prepare_sqlite(engine)
    else:
        engine = create_async_engine(
            url, pool_size=pool_size, max_overflow=pool_size, pool_timeout=20
        )
        _replace_closed(engine)
    _write_first(engine)
    return engine


def _write_first(engine: AsyncEngine) -> None:
    """What waits in a transaction's :class:`Driver` goes before SQLAlchemy's own statements."""

    @sa.event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _flush(connection: sa.Connection, *_statement: Any) -> None:
        driver = connection.get_execution_options().get(OPTION)
        if driver is not None and driver.waits:
            adapted: Any = connection.connection.dbapi_connection
            adapted.run_async(lambda _: driver.flush())


def _replace_closed(engine: AsyncEngine) -> None:
    """A connection that the server has closed is replaced when it is asked for.

    The driver is told so by its socket. SQLAlchemy's ``pool_pre_ping`` would find out by a
    transaction of its own, three round trips before each of ours.
    """

    @sa.event.listens_for(engine.sync_engine, "checkout")
    def _checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        if connection.driver_connection.is_closed():
            raise sa.exc.DisconnectionError("the server has closed it")


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: ours begin as IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_SECONDS * 1000}")
        cursor.execute(f"PRAGMA soft_heap_limit={SQLITE_MEMORY}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("bursar_write", False)
        begin = "BEGIN IMMEDIATE" if writing else "BEGIN"
        # One hop to the driver's thread; a cursor of SQLAlchemy's takes three.
        adapted: Any = connection.connection.dbapi_connection
        adapted.run_async(lambda driver: driver.execute_fetchall(begin))


class Ledger:
    """Opens transactions; the only holder of the engine.

    :param engine: from :func:`make_engine`.
    :param catalogue: chains and tokens, to render what the outbox tells.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        clock: Clock,
        entropy: Entropy,
        catalogue: Catalogue,
        public_url: str,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.entropy = entropy
        self.catalogue = catalogue
        self.public_url = public_url.rstrip("/")
        # In one process writers queue here, fairly, instead of polling SQLite's lock.
        self._writer = asyncio.Lock() if engine.dialect.name == "sqlite" else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A writing transaction: commits when the block ends, rolls back when it raises.

        :raises DatabaseError: the database cannot be reached or refused.
        """
        if self._writer is None:
            async with self._open(write=True) as tx:
                yield tx
            return
        async with self._writer, self._open(write=True) as tx:
            yield tx

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """A read-only snapshot; nothing written in it is kept."""
        async with self._open(write=False) as tx:
            yield tx

    @asynccontextmanager
    async def _open(self, *, write: bool) -> AsyncIterator[Tx]:
        conn, driver = await self._connected(write)
        now, entropy = self.clock.now(), self.entropy
        try:
            try:
                yield Tx(conn, driver, now, entropy, self.catalogue, self.public_url)
                if write:
                    await driver.flush()
                    await _commit(conn)
            finally:
                await conn.close()  # what is not committed is rolled back
        except (DBAPIError, sqlite3.Error) as error:
            raise _translated(error) from error
        finally:
            if not conn.closed:  # rolling back failed: the pool has to get it back all the same
                await conn.close()

    async def _connected(self, write: bool) -> tuple[AsyncConnection, Driver]:
        try:
            return await greenlet_spawn(self._begun, write)
        except (DBAPIError, sqlite3.Error, OSError, TimeoutError) as error:
            raise _translated(error) from error

    def _begun(self, write: bool) -> tuple[AsyncConnection, Driver]:
        """In one of SQLAlchemy's greenlets: each of these steps would make one of its own."""
        with ExitStack() as stack:
            sync = stack.enter_context(self.engine.sync_engine.connect())
            conn = AsyncConnection(self.engine, sync)
            driver = Driver(conn)
            sync.execution_options(**{OPTION: driver, "bursar_write": write})
            sync.begin()
            stack.pop_all()
        return conn, driver

    async def dispose(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


async def _commit(conn: AsyncConnection) -> None:
    """Commit, or lose the connection.

    After a commit that failed SQLAlchemy rolls nothing back, and SQLite may have it open still:
    the pool would hand out a connection in the middle of a transaction, with the write lock.
    """
    done = False
    try:
        await conn.commit()
        done = True
    finally:
        if not done:
            await conn.invalidate()


def _translated(error: Exception) -> Exception:
    """Trouble with the database becomes one line; a broken constraint stays what it is."""
    if isinstance(error, sa.exc.IntegrityError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    return DatabaseError(f"database: {said}", remedy=remedy_of(said))


async def ping(ledger: Ledger) -> None:
    """One round trip.

    :raises DatabaseError: when there is no answer.
    """
    async with ledger.reading() as tx:
        await tx.conn.execute(sa.text("SELECT 1"))


def sqlite_path(url: str) -> str | None:
    """File path of a SQLite URL, ``None`` for another database or memory."""
    parsed = sa.make_url(url)
    if not parsed.drivername.startswith("sqlite"):
        return None
    return parsed.database if parsed.database not in (None, "", ":memory:") else None
