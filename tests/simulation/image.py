"""The database that a world begins with."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from functools import lru_cache
from pathlib import Path

from ledger.migrate import upgrade
from tests.simulation.checks.changes import log_changes


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
