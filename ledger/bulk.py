"""Many rows with one statement: read by a list of keys, inserted, updated.

PostgreSQL: arrays (``= ANY``, ``unnest``), one execution however many rows.
SQLite: ``IN`` lists padded to few lengths, so that prepared statements are
found again, and ``executemany``, which is one hop to its thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningUpdate

from ledger.codec import Convert, array_type, decoder, encoded, encoder
from ledger.driver import Rows, Step
from ledger.sql import chunked
from ledger.store import Tx

Values = Mapping[str, Any]
Executable = sa.Select[Any] | ReturningUpdate[Any] | sa.Update


@dataclass(frozen=True, slots=True)
class Read:
    """Rows of ``query`` whose ``column`` is one of ``keys``; all of them without a column.

    :param query: a module's constant, since its compiled form is kept; plain columns under
        names of their own. Its order holds within a chunk of 500 keys.
    :param params: the query's own bound parameters.
    :param each: PostgreSQL: look for one key after the other. For a column that is not its index's
        first: from the statistics of a small table all rows of the first are read and filtered.
    """

    query: Executable
    column: sa.Column[Any] | None = None
    keys: Sequence[Any] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False


async def read_all(tx: Tx, reads: Sequence[Read]) -> list[list[dict[str, Any]]]:
    """The rows of each, as dictionaries; one after another, so that a lock comes first."""
    wanted = [(n, *step) for n, read in enumerate(reads) for step in _steps(tx.dialect, read)]
    found: list[list[dict[str, Any]]] = [[] for _ in reads]
    if wanted:
        answers = await tx.driver.fetch_all([(plan.sql, values) for _, plan, values in wanted])
        for (n, plan, _), rows in zip(wanted, answers, strict=True):
            found[n] += _made(plan, rows)
    return found


async def select_in(
    tx: Tx,
    query: sa.Select[Any],
    column: sa.Column[Any],
    keys: Sequence[Any],
    params: Values | None = None,
) -> list[dict[str, Any]]:
    """One :class:`Read`."""
    return (await read_all(tx, [Read(query, column, keys, params or {})]))[0]


async def execute(tx: Tx, statement: Executable, **params: Any) -> list[dict[str, Any]]:
    """One statement, a module's constant, with what it returns."""
    return (await read_all(tx, [Read(statement, params=params)]))[0]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled statement; ``given``: its parameters in order, and what they must become.

    ``fixed``: those whose value stands in the statement itself, such as SQLite's ``OFFSET 0``.
    """

    sql: str
    given: tuple[tuple[str, Convert | None], ...]
    names: tuple[str, ...]
    converts: tuple[tuple[str, Convert], ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)


def _steps(dialect: str, read: Read) -> Iterator[tuple[_Plan, list[Any]]]:
    if read.column is None:
        plan = _compiled(read.query, None, dialect, 0)
        yield plan, _values(plan, read.params)
        return
    for part in chunked(read.keys):
        count = _padded(len(part)) if dialect == "sqlite" else 0
        if read.each and dialect == "postgresql":
            plan = _one_by_one(read.query, read.column)
        else:
            plan = _compiled(read.query, read.column, dialect, count)
        keys: dict[str, Any] = {"keys": list(part)}
        if dialect == "sqlite":
            padded = [*part, *[part[-1]] * (count - len(part))]
            keys = {f"key_{i}": key for i, key in enumerate(padded)}
        yield plan, _values(plan, {**read.params, **keys})


def _values(plan: _Plan, params: Values) -> list[Any]:
    if plan.fixed:
        params = {**plan.fixed, **params}
    return [
        params[name] if convert is None or params[name] is None else convert(params[name])
        for name, convert in plan.given
    ]


def _made(plan: _Plan, rows: Rows) -> list[dict[str, Any]]:
    made = [dict(zip(plan.names, row, strict=True)) for row in rows]
    for name, convert in plan.converts:
        for row in made:
            if row[name] is not None:
                row[name] = convert(row[name])
    return made


def _padded(count: int) -> int:
    return 1 << (count - 1).bit_length()


@lru_cache(maxsize=256)
def _compiled(query: Executable, column: sa.Column[Any] | None, dialect: str, count: int) -> _Plan:
    whole = query
    if column is not None:
        assert isinstance(whole, sa.Select)
        if dialect == "sqlite":
            keys = [sa.bindparam(f"key_{i}", type_=column.type) for i in range(count)]
            whole = whole.where(column.in_(keys))
        else:
            array = sa.bindparam("keys", type_=sa.ARRAY(column.type))
            whole = whole.where(column == sa.func.any(array))
    compiled = whole.compile(dialect=_dialect(dialect))
    assert isinstance(compiled, SQLCompiler)
    types = {name: bind.type for name, bind in compiled.binds.items()}
    fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    columns = [*getattr(query, "selected_columns", ()), *getattr(query, "_returning", ())]
    converts = ((c.name, decoder(c.type, dialect)) for c in columns)
    return _Plan(
        sql=str(compiled),
        given=tuple((n, encoder(types[n], dialect)) for n in compiled.positiontup or ()),
        names=tuple(c.name for c in columns),
        converts=tuple((name, convert) for name, convert in converts if convert is not None),
        fixed=fixed,
    )


@lru_cache(maxsize=16)
def _one_by_one(query: Executable, column: sa.Column[Any]) -> _Plan:
    """PostgreSQL: a subquery for each key, which ``OFFSET 0`` keeps one."""
    assert isinstance(query, sa.Select)
    plan = _compiled(query.where(column == sa.literal_column("wanted.key")), None, "postgresql", 0)
    keys = f"unnest(${len(plan.given) + 1}::{array_type(column.type)[0]}) AS wanted(key)"
    sql = f"SELECT found.* FROM {keys} CROSS JOIN LATERAL ({plan.sql} OFFSET 0) AS found"  # noqa: S608
    return replace(plan, sql=sql, given=(*plan.given, ("keys", None)))


def _dialect(name: str) -> sa.Dialect:
    driver = "sqlite+aiosqlite" if name == "sqlite" else "postgresql+asyncpg"
    made: sa.Dialect = sa.make_url(f"{driver}://").get_dialect()()
    return made


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows that all have the keys of the first, in this order.

    :param ignore: leave rows that a unique constraint already knows as they are.
    :param over: unique columns; a row that has these values already gets the others.
    """

    table: sa.Table
    rows: Sequence[Values]
    ignore: bool = False
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """These columns of these rows, found by ``key``, each row once."""

    table: sa.Table
    rows: Sequence[Values]
    columns: Sequence[str]
    key: str = "id"


def write_all(tx: Tx, writes: Sequence[Insert | Update]) -> None:
    """One after another, before whatever this transaction does next; without rows, nothing."""
    tx.driver.write([_step(tx.dialect, write) for write in writes if write.rows])


def change(tx: Tx, statement: sa.Update, **params: Any) -> None:
    """An update of many rows, a module's constant, in the same order as :func:`write_all`."""
    plan = _compiled(statement, None, tx.dialect, 0)
    values = _values(plan, params)
    tx.driver.write([(plan.sql, [values] if tx.dialect == "sqlite" else values)])


def insert_rows(tx: Tx, table: sa.Table, rows: Sequence[Values], *, ignore: bool = False) -> None:
    """One :class:`Insert`."""
    write_all(tx, [Insert(table, rows, ignore)])


def update_rows(tx: Tx, table: sa.Table, rows: Sequence[Values], columns: Sequence[str]) -> None:
    """One :class:`Update` by id."""
    write_all(tx, [Update(table, rows, columns)])


def _step(dialect: str, write: Insert | Update) -> Step:
    """Values per row for SQLite, per column for PostgreSQL."""
    if isinstance(write, Insert):
        names = tuple(write.rows[0])
        sql = _insert(write.table, names, dialect) + _conflict(write, names)
    else:
        names = (*write.columns, write.key)
        sql = _update(write.table, tuple(write.columns), write.key, dialect)
    types = [(name, write.table.c[name].type) for name in names]
    columns = [encoded(kind, dialect, [row[name] for row in write.rows]) for name, kind in types]
    return sql, list(zip(*columns, strict=True)) if dialect == "sqlite" else columns


def _conflict(write: Insert, names: Sequence[str]) -> str:
    if not write.over:
        return " ON CONFLICT DO NOTHING" if write.ignore else ""
    changes = [f"{_quoted(n)} = excluded.{_quoted(n)}" for n in names if n not in write.over]
    return f" ON CONFLICT ({', '.join(write.over)}) DO UPDATE SET {', '.join(changes)}"


@lru_cache(maxsize=64)
def _insert(table: sa.Table, names: tuple[str, ...], dialect: str) -> str:
    into = f"INSERT INTO {table.name} ({', '.join(map(_quoted, names))})"
    if dialect == "sqlite":
        return f"{into} VALUES ({', '.join('?' * len(names))})"
    types = [array_type(table.c[name].type) for name in names]
    values = ", ".join(f"v.c{i}{cast}" for i, (_, cast) in enumerate(types))
    return f"{into} SELECT {values} FROM {_unnest([array for array, _ in types])}"  # noqa: S608


@lru_cache(maxsize=64)
def _update(table: sa.Table, names: tuple[str, ...], key: str, dialect: str) -> str:
    if dialect == "sqlite":
        changes = ", ".join(f"{_quoted(name)} = ?" for name in names)
        return f"UPDATE {table.name} SET {changes} WHERE {_quoted(key)} = ?"  # noqa: S608
    types = [array_type(table.c[name].type) for name in (*names, key)]
    changes = ", ".join(f"{_quoted(n)} = v.c{i}{types[i][1]}" for i, n in enumerate(names))
    given = _unnest([array for array, _ in types])
    found = f"t.{_quoted(key)} = v.c{len(names)}"
    return f"UPDATE {table.name} AS t SET {changes} FROM {given} WHERE {found}"  # noqa: S608


def _unnest(arrays: Sequence[str]) -> str:
    given = ", ".join(f"${i}::{array}" for i, array in enumerate(arrays, 1))
    return f"unnest({given}) AS v({', '.join(f'c{i}' for i in range(len(arrays)))})"


def _quoted(name: str) -> str:
    return f'"{name}"'
