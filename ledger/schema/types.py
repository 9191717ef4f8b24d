"""Column types that keep their promises on SQLite and PostgreSQL alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from ledger.times import utc_text, utc_time

AMOUNT_DIGITS: Final = 78
"""Decimal digits of 2**256 - 1."""


class AmountColumn(TypeDecorator[int]):
    """An unsigned integer of up to 256 bits, exact.

    PostgreSQL: ``NUMERIC(78, 0)``. SQLite, whose integers end at 63 bits and
    whose ``SUM`` turns into a float: 78 zero-padded digits as text, so that
    text order is numeric order and nothing adds them up by accident.
    """

    impl = sa.String(AMOUNT_DIGITS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.Numeric(AMOUNT_DIGITS, 0, asdecimal=True))
        return dialect.type_descriptor(sa.String(AMOUNT_DIGITS))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if type(value) is not int or not 0 <= value < 2**256:
            raise TypeError(f"not an unsigned 256-bit integer: {type(value).__name__}")
        if dialect.name == "postgresql":
            return value
        return f"{value:078d}"

    def process_result_value(self, value: Any, _dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC instant with microseconds.

    PostgreSQL: ``timestamptz``. SQLite: fixed-width ISO 8601 text, which sorts
    as time does.
    """

    impl = sa.String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        return dialect.type_descriptor(sa.String(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        text = utc_text(value)
        return value.astimezone(UTC) if dialect.name == "postgresql" else text

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return utc_time(value)


BIG_ID: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Autoincrementing key: SQLite gives row ids to INTEGER only."""
