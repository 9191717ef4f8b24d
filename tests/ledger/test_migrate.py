"""Migrations: from empty to current, twice, refused when unknown, whole or not at all."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from config.errors import DatabaseError
from ledger import migrate, store
from ledger.migrate import current_revision, head_revision, require_current, upgrade
from ledger.remedies import remedy_of
from ledger.schema import metadata
from ledger.store import make_engine

ROOT = Path(__file__).resolve().parents[2]


async def test_upgrade__twice__current_and_like_the_schema_in_code(database_url: str) -> None:
    await upgrade(database_url)
    await upgrade(database_url)
    engine = make_engine(database_url)
    await require_current(engine)
    async with engine.connect() as conn:
        differences = await conn.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    await engine.dispose()
    assert differences == []


def test_head_revision__of_the_program__is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("ledger") / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == head_revision()


async def test_require_current__empty_or_unknown__says_what_to_run(database_url: str) -> None:
    engine = make_engine(database_url)
    assert await current_revision(engine) is None
    with pytest.raises(DatabaseError, match="bursar migrate"):
        await require_current(engine)
    await upgrade(database_url)
    async with engine.begin() as conn:
        await conn.execute(sa.text("UPDATE alembic_version SET version_num = 'zzz'"))
    for refuses in (require_current(engine), upgrade(database_url)):
        with pytest.raises(
            DatabaseError, match=f"zzz, this program needs {head_revision()}"
        ) as told:
            await refuses
        assert "newer Bursar" in told.value.remedy, "bursar migrate would not help"
    assert await current_revision(engine) == "zzz"
    await engine.dispose()


async def test_f29_upgrade__interrupted_half_way__nothing_is_left_and_the_next_run_succeeds(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.read_text

    def broken(path: Path, *arguments: str) -> str:
        return whole(path, *arguments) + "\n;;\nCREATE TRIGGER nonsense"

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", broken)
        with pytest.raises(DatabaseError, match="nothing was changed"):
            await upgrade(database_url)
    await nothing_left_and_the_next_run_finishes(database_url)


async def nothing_left_and_the_next_run_finishes(database_url: str) -> None:
    engine = make_engine(database_url)
    async with engine.connect() as conn:
        assert await conn.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == []
    await upgrade(database_url)
    await require_current(engine)
    await engine.dispose()


async def test_f12_sqlite__locked_by_another_program__migration_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``BEGIN`` runs in an event of the engine, where SQLAlchemy wraps nothing."""
    monkeypatch.setattr(store, "SQLITE_BUSY_SECONDS", 0)
    url = f"sqlite+aiosqlite:///{tmp_path}/books.db"
    await upgrade(url)
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked"):
            await upgrade(url)


_DIES = """
import asyncio, os, signal, sys
import sqlalchemy as sa
from ledger import migrate
from ledger.store import make_engine

engine, done = make_engine(sys.argv[1]), 0

@sa.event.listens_for(engine.sync_engine, "after_cursor_execute")
def count(*_):
    global done
    done += 1
    if done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

@sa.event.listens_for(engine.sync_engine, "commit")
def committing(_):
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(migrate.upgrade_engine(engine))
"""


@pytest.mark.parametrize("statements", [60, 1_000_000], ids=["half_way", "before_the_commit"])
async def test_f29_migration__killed__nothing_half_done_and_the_next_run_finishes(
    database_url: str, statements: int
) -> None:
    command = [sys.executable, "-c", _DIES, database_url, str(statements)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL
    await nothing_left_and_the_next_run_finishes(database_url)


async def test_upgrade__server_not_there__one_clear_line() -> None:
    with pytest.raises(DatabaseError, match=r"check database\.url"):
        await upgrade("postgresql+asyncpg://nobody@127.0.0.1:1/none")


def test_migrations__each_number_stands_once_and_follows_the_one_before() -> None:
    """Two branches that each add "the next" one merge without a conflict of lines."""
    folder = Path(migrate.__file__).parent / "migrations" / "versions"
    numbers = sorted(path.name[:4] for path in folder.glob("[0-9]*.py"))
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
    assert numbers[-1] == migrate.HEAD


def test_remedy__of_what_the_database_says__is_the_one_that_helps() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(sqlite3.OperationalError) as readonly:
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError) as missing:
        connection.execute("SELECT * FROM nothing")
    assert "make room" in remedy_of(str(full.value))
    assert "writable" in remedy_of(str(readonly.value))
    assert "bursar migrate" in remedy_of(str(missing.value))
    said = "cannot execute INSERT in a read-only transaction"  # PostgreSQL's, of a standby
    assert "primary" in remedy_of(said)
