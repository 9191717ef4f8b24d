"""Merchants, their keys, their payout destinations."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, metadata, moment, number, one_of, text

merchants: Final = sa.Table(
    "merchants",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    text("name"),
    moment("created_at"),
    text("schedule", nullable=True, comment="own schedule; NULL: the configured one"),
    text("minimum_payout", nullable=True, comment="token units as text; NULL: the configured one"),
    sa.Column("fee_bps", sa.Integer(), nullable=True),
    moment("next_settlement_at", nullable=True),
    number("payout_delay", nullable=True, comment="seconds; NULL: the configured one"),
    sa.Column("reserve_bps", sa.Integer(), nullable=True),
    number("reserve_for", nullable=True, comment="seconds; NULL: the configured one"),
    sa.CheckConstraint("fee_bps IS NULL OR (fee_bps >= 0 AND fee_bps <= 10000)", name="fee_bps"),
    sa.Index("ix_merchants_next_settlement_at", "next_settlement_at", "id"),
)

api_keys: Final = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("merchant_id", sa.Text(), sa.ForeignKey("merchants.id"), nullable=False, index=True),
    sa.Column("key_hash", sa.LargeBinary(32), nullable=False, unique=True),
    text("name", nullable=True),
    moment("created_at"),
    moment("revoked_at", nullable=True),
)

payout_destinations: Final = sa.Table(
    "payout_destinations",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("merchant_id", sa.Text(), sa.ForeignKey("merchants.id"), nullable=False, index=True),
    text("chain"),
    text("token", nullable=True, comment="NULL: every token of the chain"),
    address("address"),
    text("status"),
    moment("created_at"),
    moment("active_at", comment="end of the cooling-off time"),
    moment("revoked_at", nullable=True),
    one_of("status", ("cooling_off", "active", "revoked", "pending_approval")),
)

idempotency_keys: Final = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("scope", sa.Text(), primary_key=True, comment="merchant id, or 'admin'"),
    sa.Column("key", sa.Text(), primary_key=True),
    sa.Column("request_hash", sa.LargeBinary(32), nullable=False),
    number("attempt", comment="raised when taken over: only the last may finish"),
    number("status_code", nullable=True, comment="NULL: still in flight"),
    text("response", nullable=True),
    moment("created_at", comment="of the last attempt"),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)
