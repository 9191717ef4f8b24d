"""Alembic's entry: runs over the connection that ``ledger.migrate`` hands in."""

from __future__ import annotations

from alembic import context

from ledger.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it
    compare_type=False,
)
context.run_migrations()
