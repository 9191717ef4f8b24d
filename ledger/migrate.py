"""Bringing a database to the current schema, from Python, without an ``alembic.ini``.

Alembic is imported where it runs: every command asks for the revision, few migrate.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from config.errors import DatabaseError
from ledger.remedies import remedy_of
from ledger.store import make_engine

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0017"
"""Revision that this program was written for; a test compares it with the scripts."""
_SCRIPTS: Final = Path(__file__).parent / "migrations"
_UNREACHABLE: Final = (DBAPIError, sqlite3.Error, OSError)
"""SQLAlchemy wraps what a statement raises, but not what ``BEGIN`` in its event does."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


def head_revision() -> str:
    """Revision that this program was written for."""
    return HEAD


async def current_revision(engine: AsyncEngine) -> str | None:
    """Revision of a database; ``None`` when it is empty.

    :raises DatabaseError: it cannot be reached.
    """

    def read(connection: sa.Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return None if found is None else str(found)

    try:
        async with engine.connect() as connection:
            return await connection.run_sync(read)
    except _UNREACHABLE as error:
        said = _said(error)
        remedy = remedy_of(said, "check database.url and that the server runs")
        raise DatabaseError(f"database cannot be reached: {said}", remedy=remedy) from error


async def upgrade(url: str) -> None:
    """Run the missing migrations, in one transaction: a crash leaves the old schema.

    :raises DatabaseError: it cannot be reached, or a migration failed.
    """
    engine = make_engine(url)
    try:
        await upgrade_engine(engine)
    finally:
        await engine.dispose()


async def upgrade_engine(engine: AsyncEngine) -> None:
    """As :func:`upgrade`, over an open engine."""
    from alembic import command

    current = await current_revision(engine)
    if _is_newer(current):
        raise _newer(current)

    def run(connection: sa.Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    try:
        async with engine.connect() as connection:
            await connection.execution_options(bursar_write=True)
            async with connection.begin():
                await connection.run_sync(run)
    except _UNREACHABLE as error:
        said = _said(error)
        remedy = remedy_of(said, "check database.url, the server and its permissions")
        what = f"migration failed, nothing was changed: {said}"
        raise DatabaseError(what, remedy=remedy) from error


def _said(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


def _is_newer(revision: str | None) -> bool:
    """Whether a later program made the schema: none of this one's migrations leads to it."""
    if revision is None:
        return False
    from alembic.script import ScriptDirectory

    known = ScriptDirectory.from_config(_config()).walk_revisions()
    return revision not in {script.revision for script in known}


def _newer(revision: str | None) -> DatabaseError:
    return DatabaseError(
        f"database is at schema {revision}, this program needs {head_revision()} and does not know "
        "the other",
        remedy="a newer Bursar migrated it: run that one, or restore the backup from before",
    )


async def require_current(engine: AsyncEngine) -> None:
    """Refuse to work on a schema that this program does not know.

    :raises DatabaseError: the database is empty, older or newer.
    """
    current, head = await current_revision(engine), head_revision()
    if current == head:
        return
    if _is_newer(current):
        raise _newer(current)
    raise DatabaseError(
        f"database is at schema {current or 'none'}, this program needs {head}",
        remedy="run: bursar migrate",
    )
