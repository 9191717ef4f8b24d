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

from ledger.store import Tx

_FOREIGN: Final = (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


Step = tuple[str, Sequence[Any]]
"""SQL, and its values by position as the driver takes them."""
Rows = Sequence[Sequence[Any]]


async def fetch_all(tx: Tx, steps: Sequence[Step]) -> list[Rows]:
    """The rows of each statement, as the driver gives them; on SQLite with one hop for all."""
    driver = await _driver(tx)
    with _translated(steps):
        if tx.dialect == "sqlite":
            found: list[Rows] = await driver._execute(_fetch_here, driver, steps)
            return found
        return [await driver.fetch(sql, *values) for sql, values in steps]


async def run_all(tx: Tx, steps: Sequence[Step]) -> None:
    """Statements without an answer.

    SQLite: each once per row of its values; PostgreSQL: once, its values are arrays.
    """
    driver = await _driver(tx)
    with _translated(steps):
        if tx.dialect == "sqlite":
            await driver._execute(_run_here, driver, steps)
            return
        for sql, values in steps:
            await driver.fetch(sql, *values)


def _fetch_here(driver: Any, steps: Sequence[Step]) -> list[Rows]:
    """In aiosqlite's thread; what its own methods do one by one, each with a hop of its own."""
    db: sqlite3.Connection = driver._conn
    return [db.execute(sql, values).fetchall() for sql, values in steps]


def _run_here(driver: Any, steps: Sequence[Step]) -> None:
    db: sqlite3.Connection = driver._conn
    for sql, values in steps:
        db.executemany(sql, values)


async def prefer_indexes(tx: Tx) -> None:
    """Until this transaction ends, do not plan to read a table from end to end.

    PostgreSQL keeps a session's plans, those of foreign keys too. One made while the table was
    empty reads it whole, and goes on doing so until autovacuum looks at the table, a minute
    into a catch-up that may have written it full by then.
    """
    if tx.dialect == "postgresql":
        driver = await _driver(tx)
        with _translated([("SET LOCAL", ())]):
            # Where a table has no index for a query its price now looks enormous: compiling
            # such a plan would take a hundred times as long as running it.
            await driver.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")


async def _driver(tx: Tx) -> Any:
    """The aiosqlite or asyncpg connection, its transaction begun."""
    connection = tx.conn.sync_connection
    assert connection is not None
    driver: Any = connection.connection.driver_connection
    if tx.dialect == "postgresql" and not driver.is_in_transaction():
        # SQLAlchemy begins with its own first statement, which this is.
        await tx.conn.exec_driver_sql("SELECT 1")
    return driver


@contextmanager
def _translated(steps: Sequence[Step]) -> Iterator[None]:
    """What callers know from SQLAlchemy."""
    try:
        yield
    except _FOREIGN as error:
        broken = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
        kind = sa.exc.IntegrityError if isinstance(error, broken) else sa.exc.OperationalError
        raise kind("; ".join(sql for sql, _ in steps), None, error) from error
