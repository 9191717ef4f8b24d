"""Databases for tests: each test that asks for one runs on SQLite and on PostgreSQL.

``database_url`` is an empty database; ``migrated_url`` one at the current
schema, copied from a template that is migrated once per session. Import the
fixtures into a ``conftest.py``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.migrate import upgrade
from tests.support.postgres import PostgresCluster, run_in_thread

BACKENDS = ("sqlite", "postgresql")
TEMPLATE = "migrated_template"


def sqlite_url(path: Path) -> str:
    """SQLAlchemy URL of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database with whatever is still in its write-ahead log."""
    origin = sqlite3.connect(source)
    copy = sqlite3.connect(target)
    try:
        origin.backup(copy)
        # The journal mode stands in the file header and backup() resets it.
        (mode,) = origin.execute("PRAGMA journal_mode").fetchone()
        copy.execute(f"PRAGMA journal_mode = {mode}")
    finally:
        copy.close()
        origin.close()


def migrate(url: str) -> None:
    """Bring the database to the current schema, through the product's own door."""
    run_in_thread(upgrade(url))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """The session's PostgreSQL server, started when first asked for (one per xdist worker)."""
    if os.environ.get("SKIP_POSTGRES") == "1":
        pytest.skip("SKIP_POSTGRES=1")
    with PostgresCluster() as cluster:
        yield cluster


@pytest.fixture(params=BACKENDS)
def database_backend(request: pytest.FixtureRequest) -> str:
    """``sqlite`` or ``postgresql``; every dependent test runs once on each."""
    return str(request.param)


@pytest.fixture
def database_url(
    database_backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """URL of an empty database of the test's own."""
    if database_backend == "sqlite":
        yield sqlite_url(tmp_path / "bursar.db")
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    name = cluster.create_database()
    yield cluster.url(name)
    cluster.drop_database(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy from."""
    path = tmp_path_factory.mktemp("template") / "bursar.db"
    migrate(sqlite_url(path))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresCluster) -> str:
    """Name of a migrated PostgreSQL database to copy from."""
    name = postgres.create_database(name=TEMPLATE)
    migrate(postgres.url(name))
    return name


@pytest.fixture
def new_migrated_url(
    database_backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """A function that gives one more migrated database per call (hypothesis examples, restores)."""
    if database_backend == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        made = 0

        def copy_file() -> str:
            nonlocal made
            made += 1
            path = tmp_path / f"bursar-{made}.db"
            copy_sqlite(template, path)
            return sqlite_url(path)

        yield copy_file
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    template_name: str = request.getfixturevalue("postgres_template")
    names: list[str] = []

    def copy_database() -> str:
        names.append(cluster.create_database(template=template_name))
        return cluster.url(names[-1])

    yield copy_database
    for name in names:
        cluster.drop_database(name)


@pytest.fixture
def migrated_url(new_migrated_url: Callable[[], str]) -> str:
    """URL of a database at the current schema, of the test's own."""
    return new_migrated_url()
