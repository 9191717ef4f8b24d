"""Deposit addresses, invoices and what they offer to be paid in."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, amount, metadata, moment, number, one_of, text
from ledger.states import InvoiceStatus

address_counter: Final = sa.Table(
    "address_counter",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    number("next_index", comment="next derivation index; its row lock orders all hand-outs"),
)

deposit_addresses: Final = sa.Table(
    "deposit_addresses",
    metadata,
    sa.Column(
        "derivation_index",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=False,
        comment="handed out in commit order: a reader that has seen n has seen all below",
    ),
    address("address", unique=True),
    sa.Column("invoice_id", sa.Text(), sa.ForeignKey("invoices.id"), nullable=False, index=True),
    sa.Column(
        "watch_from",
        sa.JSON(),
        nullable=False,
        comment="per chain the first block that can hold a payment: the cursor then, plus one",
    ),
    moment("created_at"),
    text("merchant_id", nullable=True, comment="set where the address may serve again"),
    moment("free_from", nullable=True, comment="end of its invoice's time; NULL: it serves once"),
    moment(
        "assigned_at",
        nullable=True,
        comment="since when it has this invoice; NULL: from the beginning",
    ),
    sa.Index(
        "ix_deposit_addresses_free",
        "merchant_id",
        "free_from",
        sqlite_where=sa.text("free_from IS NOT NULL"),
        postgresql_where=sa.text("free_from IS NOT NULL"),
    ),
)

earlier_assignments: Final = sa.Table(
    "earlier_assignments",
    metadata,
    sa.Column("invoice_id", sa.Text(), sa.ForeignKey("invoices.id"), primary_key=True),
    address("address", index=True),
    moment("ended_at", comment="blocks before it pay this invoice"),
)

invoices: Final = sa.Table(
    "invoices",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("merchant_id", sa.Text(), sa.ForeignKey("merchants.id"), nullable=False),
    text("status"),
    sa.Column("exceptions", sa.JSON(), nullable=False),
    amount("amount", comment="micros of the currency"),
    text("currency"),
    address("address"),
    text("reference", nullable=True),
    sa.Column("metadata", sa.JSON(), nullable=True),
    text("redirect_url", nullable=True),
    moment("created_at"),
    moment("expires_at"),
    moment("monitor_until"),
    moment("canceled_at", nullable=True),
    sa.Column("invalid", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("native_coin", sa.JSON(), nullable=True, comment="wei by chain at its address"),
    moment("updated_at"),
    one_of("status", InvoiceStatus),
    sa.CheckConstraint("(status = 'invalid') = invalid", name="invalid"),
    sa.Index("ix_invoices_merchant_id_id", "merchant_id", "id"),
    sa.Index("ix_invoices_merchant_id_reference", "merchant_id", "reference"),
    sa.Index("ix_invoices_status_expires_at", "status", "expires_at"),
)

invoice_options: Final = sa.Table(
    "invoice_options",
    metadata,
    sa.Column("invoice_id", sa.Text(), sa.ForeignKey("invoices.id"), primary_key=True),
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("token", sa.Text(), primary_key=True),
    amount("amount", comment="base units of the token"),
    number("position", comment="order in which the options are shown"),
)
