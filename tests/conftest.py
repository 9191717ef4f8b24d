"""Fixtures that every test may ask for."""

from __future__ import annotations

from hypothesis import settings

from tests.support.anvil import anvil, anvil_options, dev_rpc
from tests.support.books import books
from tests.support.database import (
    database_backend,
    database_url,
    migrated_url,
    new_migrated_url,
    postgres,
    postgres_template,
    sqlite_template,
)

__all__ = [
    "anvil",
    "anvil_options",
    "books",
    "database_backend",
    "database_url",
    "dev_rpc",
    "migrated_url",
    "new_migrated_url",
    "postgres",
    "postgres_template",
    "sqlite_template",
]

# Busy machines are slow machines: an example that takes long is no failure by itself.
settings.register_profile("bursar", deadline=None)
settings.load_profile("bursar")
