"""The one ``MetaData`` and the helpers with which every table is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from ledger.schema.types import AmountColumn, UtcTime

metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    """CHECK that the column holds one of a closed set of words."""
    words = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({words})", name=column)


def amount(name: str, **kwargs: Any) -> sa.Column[int]:
    """A required amount in base units."""
    kwargs.setdefault("nullable", False)
    return sa.Column(name, AmountColumn(), **kwargs)


def moment(name: str, *, nullable: bool = False, **kwargs: Any) -> sa.Column[Any]:
    """An instant, UTC."""
    return sa.Column(name, UtcTime(), nullable=nullable, **kwargs)


def address(name: str, *, nullable: bool = False, **kwargs: Any) -> sa.Column[Any]:
    """20 raw bytes."""
    return sa.Column(name, sa.LargeBinary(20), nullable=nullable, **kwargs)


def hash32(name: str, *, nullable: bool = False, **kwargs: Any) -> sa.Column[Any]:
    """32 raw bytes."""
    return sa.Column(name, sa.LargeBinary(32), nullable=nullable, **kwargs)


def text(name: str, *, nullable: bool = False, **kwargs: Any) -> sa.Column[Any]:
    """Text."""
    return sa.Column(name, sa.Text(), nullable=nullable, **kwargs)


def number(name: str, *, nullable: bool = False, **kwargs: Any) -> sa.Column[Any]:
    """A 64-bit integer: block numbers, nonces, counters, micros; never token amounts."""
    return sa.Column(name, sa.BigInteger(), nullable=nullable, **kwargs)
