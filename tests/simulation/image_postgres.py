"""The database of a world on a PostgreSQL server, which is real; its sessions are the world's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.migrate import upgrade
from ledger.store import make_engine
from tests.simulation.checks.changes import log_changes_postgresql
from tests.simulation.machine.desk import Desk, Row
from tests.simulation.machine.loop import VirtualLoop
from tests.simulation.machine.wire import DEADLOCK_MS, Moments, Network
from tests.support.postgres import PostgresCluster

SETTINGS = {"max_connections": "300"}
SESSIONS = {"deadlock_timeout": f"{DEADLOCK_MS}ms", "jit": "off"}
LOG = "sim_changes"


@contextmanager
def server(url: str, memory: Path | None) -> Iterator[Server]:
    """A server of its own for ``postgresql``, else the one at this URL, as its superuser.

    :raises tests.support.postgres.PostgresUnavailableError: there is none on this machine.
    """
    if url != "postgresql":
        yield Server(url)
        return
    with PostgresCluster(settings=SETTINGS, folder=memory) as cluster:
        yield Server(cluster.url("postgres"))


class Server:
    """A server with a migrated, empty database to copy; as picklable as its URL."""

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url).set(query={"ssl": "disable"})
        self._prefix = f"sim_{os.getpid()}_"
        self._template = f"{self._prefix}template"

    def prepare(self) -> None:
        """Make the template."""
        self.in_maintenance(f'CREATE DATABASE "{self._template}"')
        asyncio.run(upgrade(self.url_of(self._template)))
        desk = Desk(self.desk_url(self._template))
        log_changes_postgresql(desk)
        for table in tables_of(desk):  # nothing works by the real clock beside the world
            desk.script(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        desk.close()

    def forget(self) -> None:
        """Drop the template, and what seeds left that were given up."""
        desk = Desk(self.desk_url("postgres"))
        for (name,) in desk.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, ?)", (self._prefix,)
        ):
            desk.script(_drop(name))
        desk.close()

    def name(self) -> str:
        """Of the one database that this process has."""
        return f"{self._prefix}{os.getpid()}"

    def create(self, name: str) -> None:
        """A copy of the template; its sessions do not wait for the real clock."""
        settings = [f"ALTER DATABASE \"{name}\" SET {k} = '{v}'" for k, v in SESSIONS.items()]
        self.in_maintenance(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"', *settings)

    def drop(self, name: str) -> None:
        self.in_maintenance(_drop(name))

    def in_maintenance(self, *statements: str) -> None:
        """One by one, outside of any transaction."""
        desk = Desk(self.desk_url("postgres"))
        for statement in statements:
            desk.script(statement)
        desk.close()

    def url_of(self, name: str) -> str:
        """For SQLAlchemy."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def desk_url(self, name: str) -> str:
        """For asyncpg."""
        url = self._url.set(database=name, drivername="postgresql")
        return url.set(query={"sslmode": "disable"}).render_as_string(hide_password=False)


def tables_of(desk: Desk) -> list[str]:
    rows = desk.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return sorted(row[0] for row in rows)


def _drop(name: str) -> str:
    return f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'


class PostgresImage:
    """A database of the world's own. A :class:`tests.simulation.machine.wire.Server`, too."""

    def __init__(self, server: Server, loop: VirtualLoop, moments: Moments) -> None:
        self._server, self._name = server, server.name()
        self.url = server.url_of(self._name)
        server.create(self._name)
        self.books = Desk(server.desk_url(self._name))
        self._kept: dict[str, bytes] = {}
        self._sequences: list[Row] = []
        loop.network = Network(self, moments, loop)

    def engine(self, url: str, moments: Any) -> AsyncEngine:
        """Faults strike on the wire."""
        return make_engine(url)

    def changes(self) -> list[Row]:
        """Taken out as they are read: their numbers are not in the order of the commits."""
        rows = self.books.execute(
            f"WITH taken AS (DELETE FROM {LOG} RETURNING *) SELECT * FROM taken ORDER BY seq"
        )
        return rows.fetchall()

    def back_up(self) -> None:
        """What a dump has: every table as of one moment, and where the sequences stand."""
        self._kept = self.books.copy_out(tables_of(self.books))
        self._sequences = self.books.execute(
            "SELECT sequencename, last_value FROM pg_sequences"
            " WHERE schemaname = 'public' AND last_value IS NOT NULL"
        ).fetchall()

    def restore(self) -> None:
        self.books.close()
        self._server.drop(self._name)
        self._server.create(self._name)
        self.books = Desk(self._server.desk_url(self._name))
        self.books.script("SET session_replication_role = replica")  # no trigger, no order
        self.books.script(f"TRUNCATE {', '.join(self._kept)}")
        for table, rows in self._kept.items():
            if table != LOG:
                self.books.copy_in(table, rows)
        for name, value in self._sequences:
            self.books.execute("SELECT setval(?::text::regclass, ?)", (name, value))
        self.books.script("SET session_replication_role = origin")

    def odd_amounts(self, table: str, column: str) -> int:
        """The type of the column is what keeps them."""
        (good,) = self.books.execute(
            "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name = ? AND column_name = ? AND data_type = 'numeric'"
            " AND numeric_precision = 78 AND numeric_scale = 0",
            (table, column),
        ).fetchone() or (0,)
        return int(not good)

    def close(self) -> None:
        self.books.close()
        self._server.drop(self._name)

    # --- what the wire asks ----------------------------------------------------------------

    def waits(self, pid: int) -> bool:
        (waits,) = self.books.execute(
            "SELECT cardinality(pg_blocking_pids(?)) > 0", (pid,)
        ).fetchone() or (False,)
        return bool(waits)

    def end(self, pid: int) -> None:
        self.books.execute("SELECT pg_terminate_backend(?)", (pid,))
