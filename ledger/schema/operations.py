"""Outbox, webhooks, holds, pauses, leases: what keeps a running system honest."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import metadata, moment, number, one_of, text
from ledger.schema.types import BIG_ID

events: Final = sa.Table(
    "events",
    metadata,
    sa.Column("seq", BIG_ID, primary_key=True),
    text("id", unique=True),
    text("merchant_id"),
    text("type"),
    text("object_id"),
    sa.Column("data", sa.JSON(), nullable=False, comment="the object as its GET gave it then"),
    moment("created_at"),
    sa.Index("ix_events_merchant_id_seq", "merchant_id", "seq"),
)

webhook_endpoints: Final = sa.Table(
    "webhook_endpoints",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("merchant_id", sa.Text(), sa.ForeignKey("merchants.id"), nullable=False, index=True),
    text("url"),
    sa.Column("events", sa.JSON(), nullable=True, comment="types; NULL: all but payment.ignored"),
    text("secret_encrypted"),
    text("previous_secret_encrypted", nullable=True, comment="still signs until it expires"),
    moment("previous_secret_until", nullable=True),
    text("status"),
    text("reason", nullable=True),
    moment("created_at"),
    moment("deleted_at", nullable=True),
    one_of("status", ("enabled", "disabled")),
)

webhook_deliveries: Final = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("endpoint_id", sa.Text(), sa.ForeignKey("webhook_endpoints.id"), nullable=False),
    sa.Column("event_seq", BIG_ID, sa.ForeignKey("events.seq"), nullable=False),
    text("object_id", comment="deliveries of one object go in order"),
    text("status"),
    number("attempts"),
    moment("next_attempt_at"),
    number("response_status", nullable=True),
    text("error", nullable=True),
    moment("created_at"),
    moment("delivered_at", nullable=True),
    one_of("status", ("pending", "delivered", "dead")),
    sa.Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
    sa.Index(
        "ix_webhook_deliveries_due",
        "next_attempt_at",
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    ),
    sa.Index(
        "ix_webhook_deliveries_order",
        "endpoint_id",
        "object_id",
        "id",
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    ),
)

holds: Final = sa.Table(
    "holds",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    text("kind"),
    text("object_type"),
    text("object_id", index=True),
    text("merchant_id", nullable=True),
    text("reason"),
    moment("since"),
    moment("released_at", nullable=True),
    text("resolution", nullable=True),
    one_of("kind", ("payment", "payout", "chain", "lane", "batch", "destination")),
    sa.Index(
        "ix_holds_open",
        "kind",
        "object_id",
        sqlite_where=sa.text("released_at IS NULL"),
        postgresql_where=sa.text("released_at IS NULL"),
    ),
)

pauses: Final = sa.Table(
    "pauses",
    metadata,
    sa.Column("scope", sa.Text(), primary_key=True, comment="all|payouts|sweeps[:chain]"),
    moment("since"),
    text("reason", nullable=True),
)

leases: Final = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text(), primary_key=True),
    text("owner"),
    number("fencing_token", comment="raised at every change of owner"),
    number("ready_token", nullable=True, comment="fencing token whose holder knows its part true"),
    moment("expires_at"),
)

rescans: Final = sa.Table(
    "rescans",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    text("chain"),
    number("first_block"),
    number("last_block"),
    number("next_block", comment="progress; done when above last_block"),
    text("trigger"),
    moment("created_at"),
    moment("finished_at", nullable=True),
    one_of("trigger", ("command", "gap", "backup")),
)

audit_log: Final = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    moment("at"),
    text("actor"),
    text("action"),
    text("object_id", nullable=True),
    sa.Column("detail", sa.JSON(), nullable=True),
)

installation: Final = sa.Table(
    "installation",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    text("name", comment="what the journal outside the database is bound to"),
    moment("created_at"),
)

comparisons: Final = sa.Table(
    "comparisons",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    number("block", comment="up to it the chain held no outflow that these books do not know"),
    moment("at"),
)
