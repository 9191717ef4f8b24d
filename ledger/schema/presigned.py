"""Deposit addresses signed offline, and with which authorizations they can be swept."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, hash32, metadata, moment, number
from ledger.schema.types import BIG_ID

presigned_sets: Final = sa.Table(
    "presigned_sets",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    number("chain_id"),
    address("delegate"),
    hash32("code_hash"),
    number("first_index", comment="lowest index that was imported"),
    number("next_index", comment="indexes from first_index to below it are complete"),
    moment("checked_at", nullable=True, comment="when the delegate's code on chain was found so"),
    sa.UniqueConstraint("chain_id", "delegate"),
)

presigned_addresses: Final = sa.Table(
    "presigned_addresses",
    metadata,
    sa.Column(
        "derivation_index",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    address("address", unique=True),
)

presigned_authorizations: Final = sa.Table(
    "presigned_authorizations",
    metadata,
    sa.Column(
        "set_id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        sa.ForeignKey("presigned_sets.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column(
        "derivation_index",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        sa.ForeignKey("presigned_addresses.derivation_index"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column(
        "signature", sa.LargeBinary(65), nullable=False, comment="r, s and y_parity; nonce 0"
    ),
)
