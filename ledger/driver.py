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
from typing import Any, NoReturn

import asyncpg
import sqlalchemy as sa

from ledger.store import Tx

_FOREIGN = (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


async def fetch(tx: Tx, sql: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """Rows as the driver gives them; ``values`` as the driver takes them, by position."""
    driver = await _driver(tx)
    with _translated(sql):
        if tx.dialect == "sqlite":
            rows: Sequence[Sequence[Any]] = await driver.execute_fetchall(sql, values)
        else:
            rows = await driver.fetch(sql, *values)
    return rows


async def run(tx: Tx, sql: str, values: Sequence[Any]) -> None:
    """A statement without an answer.

    SQLite: once per row of ``values``; PostgreSQL: once, ``values`` are its arrays.
    """
    driver = await _driver(tx)
    with _translated(sql):
        if tx.dialect == "sqlite":
            await driver.executemany(sql, values)
        else:
            await driver.fetch(sql, *values)


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
def _translated(sql: str) -> Iterator[None]:
    """What callers know from SQLAlchemy."""
    try:
        yield
    except _FOREIGN as error:
        _raise(sql, error)


def _raise(sql: str, error: Exception) -> NoReturn:
    broken = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
    kind = sa.exc.IntegrityError if isinstance(error, broken) else sa.exc.OperationalError
    raise kind(sql, None, error) from error
