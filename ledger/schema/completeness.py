"""What is known of how complete the reading of a chain is: checks that ran, differences found."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, amount, hash32, metadata, moment, number, one_of, text
from ledger.schema.types import BIG_ID

chain_checks: Final = sa.Table(
    "chain_checks",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("name", sa.Text(), primary_key=True),
    moment("at", comment="when it last ran"),
    number("block", comment="as of which block, or up to which"),
    number("position", comment="where it goes on; -1: at the beginning"),
    moment("round_began", nullable=True, comment="NULL: it has no rounds, or none has begun"),
    moment("round_done", nullable=True, comment="when a round last came to its end"),
)

audit_findings: Final = sa.Table(
    "audit_findings",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    text("chain"),
    address("address"),
    address("token_address"),
    sa.Column("invoice_id", sa.Text(), sa.ForeignKey("invoices.id"), nullable=False),
    text("merchant_id"),
    text("kind"),
    text("status"),
    amount("expected", comment="base units that the books say are there"),
    amount("found", comment="base units that the chain says are there"),
    number("block_number"),
    hash32("block_hash"),
    number("first_block", comment="lowest block that can hold what is missing"),
    number("next_block", comment="looked for from here downwards; below first_block: done"),
    number("asked", comment="how many providers have been asked all the way down"),
    text("resolution", nullable=True),
    moment("since"),
    moment("closed_at", nullable=True),
    one_of("kind", ("above", "below")),
    one_of("status", ("searching", "open", "closed")),
    sa.CheckConstraint("(status = 'closed') = (closed_at IS NOT NULL)", name="closed_at"),
    # One open finding for each thing that can differ.
    sa.Index(
        "uq_audit_findings_open",
        "chain",
        "address",
        "token_address",
        unique=True,
        sqlite_where=sa.text("status <> 'closed'"),
        postgresql_where=sa.text("status <> 'closed'"),
    ),
)
