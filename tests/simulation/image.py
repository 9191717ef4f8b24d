"""The database of a world, as a file: what a dead process leaves behind, and what checks read."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.migrate import upgrade
from tests.simulation.checks.changes import log_changes
from tests.simulation.machine.database import Moments, sim_engine

Row = Any


class Books(Protocol):
    """The image as another program reads it; values stand where ``?`` is."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any: ...


class Image(Protocol):
    """One world's database."""

    url: str
    books: Books

    def engine(self, url: str, moments: Any) -> AsyncEngine:
        """The product's own, on edges where faults strike."""
        ...

    def changes(self) -> list[Row]:
        """What the image's log of changes has got since it was asked last, of whole commits."""
        ...

    def back_up(self) -> None:
        """Keep what is committed now; a running daemon does not notice."""
        ...

    def restore(self) -> None:
        """Put the backup in its place; nobody is connected."""
        ...

    def odd_amounts(self, table: str, column: str) -> int:
        """How many are not whole numbers, exactly kept."""
        ...

    def close(self) -> None: ...


@lru_cache(maxsize=1)
def template_database() -> Path:
    """A migrated, empty database, made once per run of the program."""
    path = Path(tempfile.mkdtemp(prefix="bursar-sim-")) / "template.db"
    asyncio.run(upgrade(f"sqlite+aiosqlite:///{path}"))
    with sqlite3.connect(path) as connection:
        log_changes(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=WAL")
    return path


class SqliteImage:
    """A file in the world's folder."""

    def __init__(self, folder: Path) -> None:
        self._path, self._backup = folder / "books.db", folder / "backup.db"
        self.url = f"sqlite+aiosqlite:///{self._path}"
        shutil.copy(template_database(), self._path)
        self.books = self._opened()
        self._seen = 0

    def _opened(self) -> sqlite3.Connection:
        books = sqlite3.connect(self._path, isolation_level=None)
        books.row_factory = sqlite3.Row
        return books

    def engine(self, url: str, moments: Moments) -> AsyncEngine:
        return sim_engine(url, moments)

    def changes(self) -> list[Row]:
        rows = self.books.execute(
            "SELECT seq, tbl, id, status FROM sim_changes WHERE seq > ? ORDER BY seq", (self._seen,)
        ).fetchall()
        if rows:
            self._seen = rows[-1]["seq"]
        return rows

    def back_up(self) -> None:
        """SQLite's own online backup."""
        with sqlite3.connect(self._path) as source, sqlite3.connect(self._backup) as target:
            source.backup(target)
        source.close()
        target.close()

    def restore(self) -> None:
        self.books.close()
        for left in self._path.parent.glob(f"{self._path.name}*"):
            left.unlink()
        shutil.copy(self._backup, self._path)
        self.books = self._opened()
        (self._seen,) = self.books.execute(
            "SELECT COALESCE(MAX(seq), 0) FROM sim_changes"
        ).fetchone()

    def odd_amounts(self, table: str, column: str) -> int:
        (bad,) = self.books.execute(
            f"SELECT COUNT(*) FROM {table} WHERE typeof({column}) <> 'text'"
            f" OR length({column}) <> 78"
        ).fetchone()
        return int(bad)

    def close(self) -> None:
        self.books.close()
