"""Where the factory of deposit addresses without keys is."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, metadata, moment

deposit_factories: Final = sa.Table(
    "deposit_factories",
    metadata,
    sa.Column(
        "chain_id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    address("factory"),
    address("forwarder", comment="what the factory's addresses delegate every call to"),
    moment("checked_at", nullable=True, comment="when the factory's code on chain was found so"),
)
