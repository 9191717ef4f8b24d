"""Many rows with one statement: read by a list of keys, inserted, updated.

PostgreSQL: arrays (``= ANY``, ``unnest``), one execution however many rows.
SQLite: ``IN`` lists padded to few lengths, so that prepared statements are
found again, and ``executemany``, which is one hop to its thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from ledger.codec import array_type, decoder, encoded
from ledger.driver import fetch, run
from ledger.sql import chunked
from ledger.store import Tx

Values = Mapping[str, Any]


async def select_in(
    tx: Tx,
    query: sa.Select[Any],
    column: sa.Column[Any],
    keys: Sequence[Any],
    params: Values | None = None,
) -> list[dict[str, Any]]:
    """Rows of ``query`` whose ``column`` is one of ``keys``, as dictionaries.

    :param query: a module's constant, since its compiled form is kept; plain
        columns under names of their own. Its order holds within a chunk of 500 keys.
    :param params: bound parameters of the query.
    """
    found: list[dict[str, Any]] = []
    for part in chunked(keys):
        sql, order, names, converts = _compiled(query, column, tx.dialect, _padded(len(part)))
        given = dict(params or {})
        if tx.dialect == "sqlite":
            padded = [*part, *[part[-1]] * (_padded(len(part)) - len(part))]
            given.update((f"key_{i}", key) for i, key in enumerate(padded))
        else:
            given["keys"] = list(part)
        rows = await fetch(tx, sql, [given[name] for name in order])
        for row in rows:
            made = dict(zip(names, row, strict=True))
            for name, convert in converts:
                if made[name] is not None:
                    made[name] = convert(made[name])
            found.append(made)
    return found


def _padded(count: int) -> int:
    return 1 << (count - 1).bit_length()


@lru_cache(maxsize=256)
def _compiled(
    query: sa.Select[Any], column: sa.Column[Any], dialect: str, count: int
) -> tuple[str, list[str], list[str], list[tuple[str, Any]]]:
    """SQL, its parameters in order, the columns' names, and what to do to which of them."""
    if dialect == "sqlite":
        whole = query.where(column.in_([sa.bindparam(f"key_{i}") for i in range(count)]))
        compiled = whole.compile(dialect=_qmark())
    else:
        array = sa.bindparam("keys", type_=sa.ARRAY(column.type))
        whole = query.where(column == sa.func.any(array))
        compiled = whole.compile(dialect=_asyncpg())
    assert compiled.positiontup is not None
    columns = list(query.selected_columns)
    converts = [(c.name, decoder(_plain(c), dialect)) for c in columns]
    return (
        str(compiled),
        list(compiled.positiontup),
        [c.name for c in columns],
        [(name, convert) for name, convert in converts if convert is not None],
    )


def _plain(column: Any) -> sa.Column[Any]:
    assert isinstance(column, sa.Column)
    return column


def _qmark() -> sa.Dialect:
    return sa.make_url("sqlite+aiosqlite://").get_dialect()()


def _asyncpg() -> sa.Dialect:
    return sa.make_url("postgresql+asyncpg://").get_dialect()()


async def insert_rows(
    tx: Tx, table: sa.Table, rows: Sequence[Values], *, ignore: bool = False
) -> None:
    """Insert rows that all have the keys of the first, in this order.

    :param ignore: leave rows that a unique constraint already knows as they are.
    """
    if not rows:
        return
    names = tuple(rows[0])
    sql = _insert(table, names, tx.dialect, ignore)
    await run(tx, sql, _arguments(tx, [table.c[n] for n in names], rows))


async def update_rows(
    tx: Tx, table: sa.Table, rows: Sequence[Values], columns: Sequence[str], *, key: str = "id"
) -> None:
    """Write these columns of these rows; found by ``key``, each row once."""
    if not rows:
        return
    sql = _update(table, tuple(columns), key, tx.dialect)
    await run(tx, sql, _arguments(tx, [table.c[n] for n in (*columns, key)], rows))


def _arguments(tx: Tx, columns: Sequence[sa.Column[Any]], rows: Sequence[Values]) -> list[Any]:
    """Per row for SQLite, per column for PostgreSQL."""
    by_column = [encoded(c, tx.dialect, [row[c.name] for row in rows]) for c in columns]
    return list(zip(*by_column, strict=True)) if tx.dialect == "sqlite" else by_column


@lru_cache(maxsize=64)
def _insert(table: sa.Table, names: tuple[str, ...], dialect: str, ignore: bool) -> str:
    into = f"INSERT INTO {table.name} ({', '.join(map(_quoted, names))})"
    conflict = " ON CONFLICT DO NOTHING" if ignore else ""
    if dialect == "sqlite":
        return f"{into} VALUES ({', '.join('?' * len(names))}){conflict}"
    types = [array_type(table.c[name]) for name in names]
    values = ", ".join(f"v.c{i}{cast}" for i, (_, cast) in enumerate(types))
    return f"{into} SELECT {values} FROM {_unnest([array for array, _ in types])}{conflict}"  # noqa: S608


@lru_cache(maxsize=64)
def _update(table: sa.Table, names: tuple[str, ...], key: str, dialect: str) -> str:
    if dialect == "sqlite":
        changes = ", ".join(f"{_quoted(name)} = ?" for name in names)
        return f"UPDATE {table.name} SET {changes} WHERE {_quoted(key)} = ?"  # noqa: S608
    types = [array_type(table.c[name]) for name in (*names, key)]
    changes = ", ".join(f"{_quoted(n)} = v.c{i}{types[i][1]}" for i, n in enumerate(names))
    given = _unnest([array for array, _ in types])
    found = f"t.{_quoted(key)} = v.c{len(names)}"
    return f"UPDATE {table.name} AS t SET {changes} FROM {given} WHERE {found}"  # noqa: S608


def _unnest(arrays: Sequence[str]) -> str:
    given = ", ".join(f"${i}::{array}" for i, array in enumerate(arrays, 1))
    return f"unnest({given}) AS v({', '.join(f'c{i}' for i in range(len(arrays)))})"


def _quoted(name: str) -> str:
    return f'"{name}"'
