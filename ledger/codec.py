"""Values to and from the drivers, by column type: what ``schema.types`` does, without the calls.

A column's values are turned in one go. The same value in every row, which most
columns of a block have (chain, time, status), is turned once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ledger.schema.types import AmountColumn, UtcTime
from ledger.times import utc_text, utc_time

Convert = Callable[[Any], Any]
_MOST: Final = 2**256
_ARRAYS: Final = (
    (AmountColumn, ("text[]", "::numeric")),
    (sa.JSON, ("text[]", "::json")),
    (UtcTime, ("timestamptz[]", "")),
    (sa.LargeBinary, ("bytea[]", "")),
    (sa.Boolean, ("boolean[]", "")),
    (sa.BigInteger, ("bigint[]", "")),
    (sa.Integer, ("integer[]", "")),
)


def encode_json(value: Any) -> str:
    """Compact JSON text; ``None`` is the JSON null, as SQLAlchemy has it."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, which only escapes can spell
        return json.dumps(value, separators=(",", ":"))


def decode_json(text: str) -> Any:
    """The value of a JSON text; most of ours hold nothing, or no exceptions."""
    if text == "null":
        return None
    return [] if text == "[]" else json.loads(text)


def _digits(value: int) -> str:
    if type(value) is not int or not 0 <= value < _MOST:
        raise TypeError(f"not an unsigned 256-bit integer: {type(value).__name__}")
    return f"{value:078d}"


def _number(value: int) -> str:
    return str(int(_digits(value)))


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise TypeError("a naive datetime has no place in the books")
    return value


@lru_cache(maxsize=512)
def encoder(kind: TypeEngine[Any], dialect: str) -> Convert | None:
    """What a value must become before the driver takes it; ``None``: nothing."""
    sqlite = dialect == "sqlite"
    if isinstance(kind, AmountColumn):
        return _digits if sqlite else _number
    if isinstance(kind, UtcTime):
        return utc_text if sqlite else _aware
    return encode_json if isinstance(kind, sa.JSON) else None


@lru_cache(maxsize=512)
def decoder(kind: TypeEngine[Any], dialect: str) -> Convert | None:
    """What a value read must become; ``None``: nothing.

    SQLAlchemy has taught asyncpg to read JSON when it opened the connection.
    """
    if isinstance(kind, AmountColumn):
        return int
    if dialect == "postgresql":
        return None
    if isinstance(kind, UtcTime):
        return utc_time
    if isinstance(kind, sa.JSON):
        return decode_json
    return bool if isinstance(kind, sa.Boolean) else None


def encoded(kind: TypeEngine[Any], dialect: str, values: Sequence[Any]) -> Sequence[Any]:
    """A column's values for the driver."""
    convert = encoder(kind, dialect)
    if convert is None:
        return values
    first = values[0]
    nothing = None if convert is not encode_json else "null"
    if all(value is first for value in values):
        return [nothing if first is None else convert(first)] * len(values)
    return [nothing if value is None else convert(value) for value in values]


@lru_cache(maxsize=512)
def array_type(wanted: TypeEngine[Any]) -> tuple[str, str]:
    """PostgreSQL: the array to send a column in, and the cast from its elements, if any."""
    return next((sent for kind, sent in _ARRAYS if isinstance(wanted, kind)), ("text[]", ""))
