"""The driver under an open transaction, for the statements of every block.

SQLAlchemy gives each statement a cursor (four hops to SQLite's thread, a
greenlet on PostgreSQL) and each value a Python call or two. Where a block has
a hundred deposits, that is most of the time spent. So the few statements of
the hot path go to aiosqlite or asyncpg themselves, in the transaction that
SQLAlchemy has begun on the same connection; whoever calls these need not know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

OPTION: Final = "bursar_driver"
"""Execution option of a connection: its transaction's :class:`Driver`."""
_FOREIGN: Final = (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

Step = tuple[str, Sequence[Any]]
"""SQL, and its values by position as the driver takes them."""
Rows = Sequence[Sequence[Any]]


class Driver:
    """One transaction's way to the driver.

    Writes wait, in their order, for whatever comes next: a read, a statement of SQLAlchemy's
    or the commit (:mod:`ledger.store` sees to both), and go along with it. A hop to SQLite's
    thread and back costs as much as writing five rows. So a broken constraint shows there,
    not where the write was ordered; the transaction is lost either way.
    """

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn
        self._sqlite = conn.dialect.name == "sqlite"
        self._waiting: list[Step] = []

    def write(self, steps: Sequence[Step]) -> None:
        """Statements without an answer.

        SQLite: each once per row of its values; PostgreSQL: once, its values are arrays.
        """
        self._waiting += steps

    @property
    def waits(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._waiting)

    async def flush(self) -> None:
        """What waits is written now."""
        if self._waiting:
            await self.fetch_all([])

    async def fetch_all(self, steps: Sequence[Step]) -> list[Rows]:
        """The rows of each statement, as the driver gives them; on SQLite with one hop for all."""
        writes, self._waiting = self._waiting, []
        driver = await self._connection()
        with _translated([*writes, *steps]):
            if self._sqlite:
                found: list[Rows] = await (
                    driver._execute(_run_here, driver, writes, steps)
                    if writes
                    else driver._execute(_fetch_here, driver, steps)
                )
                return found
            for sql, values in writes:
                await driver.fetch(sql, *values)
            return [await driver.fetch(sql, *values) for sql, values in steps]

    async def prefer_indexes(self) -> None:
        """Until this transaction ends, do not plan to read a table from end to end.

        PostgreSQL keeps a session's plans, those of foreign keys too. One made while the table
        was empty reads it whole, and goes on doing so until autovacuum looks at the table, a
        minute into a catch-up that may have written it full by then.
        """
        if not self._sqlite:
            driver = await self._connection()
            with _translated([("SET LOCAL", ())]):
                # Where a table has no index for a query its price now looks enormous: compiling
                # such a plan would take a hundred times as long as running it.
                await driver.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")

    async def _connection(self) -> Any:
        """The aiosqlite or asyncpg connection, its transaction begun."""
        connection = self._conn.sync_connection
        assert connection is not None
        driver: Any = connection.connection.driver_connection
        if not self._sqlite and not driver.is_in_transaction():
            # SQLAlchemy begins with its own first statement, which this is.
            await self._conn.exec_driver_sql("SELECT 1")
        return driver


def _fetch_here(driver: Any, steps: Sequence[Step]) -> list[Rows]:
    """In aiosqlite's thread; what its own methods do one by one, each with a hop of its own."""
    db: sqlite3.Connection = driver._conn
    return [db.execute(sql, values).fetchall() for sql, values in steps]


def _run_here(driver: Any, writes: Sequence[Step], reads: Sequence[Step]) -> list[Rows]:
    db: sqlite3.Connection = driver._conn
    for sql, values in writes:
        db.executemany(sql, values)
    return _fetch_here(driver, reads)


@contextmanager
def _translated(steps: Sequence[Step]) -> Iterator[None]:
    """What callers know from SQLAlchemy."""
    try:
        yield
    except _FOREIGN as error:
        broken = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
        kind = sa.exc.IntegrityError if isinstance(error, broken) else sa.exc.OperationalError
        raise kind("; ".join(sql for sql, _ in steps), None, error) from error
