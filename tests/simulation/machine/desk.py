"""A connection to PostgreSQL that answers at once, for whoever looks at it from outside.

asyncpg needs a loop, and the world's is virtual: so this one has a loop of its own in a thread.
Whoever asks stands still until the answer is there.
"""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg

from ledger.times import utc_text

T = TypeVar("T")
_Y2K = datetime(2000, 1, 1, tzinfo=UTC)
Row = Any
"""By name or by position."""


class Rows:
    """What a statement gave; as much of sqlite3's cursor as the checks use."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def fetchone(self) -> Row | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Row]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


class Desk:
    """One connection, outside of any transaction; times are text, as SQLite has them."""

    def __init__(self, url: str) -> None:
        """:param url: as asyncpg takes it."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._connection = self._do(asyncpg.connect(url))
        for kind, decode, form in (
            ("timestamptz", _as_sqlite, "tuple"),
            ("jsonb", json.loads, "text"),
        ):
            self._do(
                self._connection.set_type_codec(
                    kind, schema="pg_catalog", encoder=_same, decoder=decode, format=form
                )
            )

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """One statement, its values where ``?`` stands."""
        return Rows(self._do(self._connection.fetch(_numbered(sql), *values)))

    def script(self, sql: str) -> None:
        """Some statements without values."""
        self._do(self._connection.execute(sql))

    def copy_out(self, tables: Sequence[str]) -> dict[str, bytes]:
        """All rows of each table, of one moment."""
        return self._do(self._copy_out(tables))

    async def _copy_out(self, tables: Sequence[str]) -> dict[str, bytes]:
        found = {}
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            for table in tables:
                into = io.BytesIO()
                await self._connection.copy_from_table(table, output=into, format="binary")
                found[table] = into.getvalue()
        return found

    def copy_in(self, table: str, rows: bytes) -> None:
        """What :meth:`copy_out` gave."""
        source = io.BytesIO(rows)
        self._do(self._connection.copy_to_table(table, source=source, format="binary"))

    def close(self) -> None:
        """Until the server knows it too."""
        self._do(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    first, *rest = sql.split("?")
    return first + "".join(f"${n}{part}" for n, part in enumerate(rest, start=1))


def _same(value: T) -> T:
    return value


def _as_sqlite(moment: tuple[int]) -> str:
    """:param moment: microseconds since the year 2000."""
    return utc_text(_Y2K + timedelta(microseconds=moment[0]))
