"""The few statements that SQLAlchemy spells differently per database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ledger.store import Tx

T = TypeVar("T")
PARAMETERS: Final = 500
"""Values per ``IN`` list: far below SQLite's 32,766 and asyncpg's 32,767 parameters."""


def chunked(values: Sequence[T], size: int = PARAMETERS) -> Iterator[Sequence[T]]:
    """``values`` in slices of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def as_row(row: sa.Row[*tuple[Any, ...]]) -> Mapping[str, Any]:
    """A result row as a mapping of column names."""
    return cast("Mapping[str, Any]", row._mapping)


def _insert(tx: Tx, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if tx.dialect == "postgresql" else sqlite.insert(table)


async def insert_ignore(tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; those that a unique constraint already knows are left as they are."""
    if rows:
        await tx.conn.execute(_insert(tx, table).on_conflict_do_nothing(), rows)


async def upsert(
    tx: Tx, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, key: Sequence[str]
) -> None:
    """Insert rows, or overwrite every given column but the key."""
    if not rows:
        return
    statement = _insert(tx, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    await tx.conn.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=changed), rows
    )
