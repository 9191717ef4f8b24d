"""What has been seen of each chain: cursor, blocks, payments and their sightings."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, amount, hash32, metadata, moment, number, one_of, text
from ledger.schema.types import BIG_ID
from ledger.states import PaymentStatus

chain_cursors: Final = sa.Table(
    "chain_cursors",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    number("chain_id"),
    number("start_block", comment="first block ever scanned"),
    number("cursor_block", comment="every block up to here is linked, scanned and committed"),
    hash32("cursor_hash"),
    moment("cursor_time", comment="the block's own timestamp"),
    number("final_block", comment="highest block held as final; a reorg below it is a violation"),
    hash32("final_hash"),
    text("halted_reason", nullable=True, comment="finality violation: only an operator clears it"),
    moment("halted_at", nullable=True),
    moment("updated_at"),
    sa.CheckConstraint("final_block <= cursor_block", name="final_block"),
)

provider_ranges: Final = sa.Table(
    "provider_ranges",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("provider", sa.Text(), primary_key=True),
    number("size", comment="blocks of a range that was answered last"),
    number("ceiling", comment="the most that it takes, by its own words"),
    moment("ceiling_at", comment="since when it is held to be so"),
    sa.CheckConstraint("size >= 1 AND ceiling >= size", name="size"),
)

blocks: Final = sa.Table(
    "blocks",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("number", sa.BigInteger(), primary_key=True),
    sa.Column("hash", sa.LargeBinary(32), primary_key=True),
    hash32("parent_hash"),
    moment("timestamp"),
    sa.Column("canonical", sa.Boolean(), nullable=False),
    sa.Index(
        "uq_blocks_canonical",
        "chain",
        "number",
        unique=True,
        sqlite_where=sa.text("canonical"),
        postgresql_where=sa.text("canonical"),
    ),
    # The few that left the chain, among all that are kept of it: each comparison asks for them.
    sa.Index(
        "ix_blocks_left",
        "chain",
        "hash",
        sqlite_where=sa.text("canonical IS 0"),
        postgresql_where=sa.text("canonical IS false"),
    ),
)

PAYMENT_OPEN: Final = sa.text("status IN ('detected', 'confirming')")
"""For queries too: with bound parameters in its place neither database sees that the index fits."""

payments: Final = sa.Table(
    "payments",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("invoice_id", sa.Text(), sa.ForeignKey("invoices.id"), nullable=False, index=True),
    sa.Column("merchant_id", sa.Text(), sa.ForeignKey("merchants.id"), nullable=False),
    text("chain"),
    hash32("tx_hash"),
    number("ordinal", comment="index of the log within its receipt"),
    number("variant", comment="0; higher where a re-included transaction pays otherwise"),
    text("token", nullable=True, comment="symbol; NULL: not registered"),
    address("token_address"),
    address("sender"),
    address("recipient"),
    amount("amount"),
    amount("value", comment="micros of the invoice's currency; 0 where not counted"),
    amount("fee", comment="taken when it became available"),
    text("status"),
    text("reason", nullable=True),
    sa.Column("held", sa.Boolean(), nullable=False),
    sa.Column("is_final", sa.Boolean(), nullable=False, comment="at or below the final block"),
    number("credits", comment="how often it was credited: part of the posting's key"),
    number("block_number"),
    hash32("block_hash"),
    moment("block_time"),
    number("log_index"),
    moment("detected_at"),
    moment("confirmed_at", nullable=True),
    sa.Column("payout_id", sa.Text(), sa.ForeignKey("payouts.id"), nullable=True),
    sa.Column("sweep_item_id", BIG_ID, nullable=True),
    one_of("status", PaymentStatus),
    sa.CheckConstraint("status <> 'ignored' OR reason IS NOT NULL", name="ignored_reason"),
    sa.CheckConstraint("token IS NOT NULL OR status = 'ignored'", name="booked_token"),
    sa.CheckConstraint(
        "(status = 'confirmed' AND confirmed_at IS NOT NULL) OR status <> 'confirmed'",
        name="confirmed_at",
    ),
    sa.UniqueConstraint("chain", "tx_hash", "ordinal", "variant", name="uq_payments_identity"),
    sa.Index("ix_payments_merchant_id_id", "merchant_id", "id"),
    sa.Index(
        "ix_payments_open",
        "chain",
        "block_number",
        sqlite_where=PAYMENT_OPEN,
        postgresql_where=PAYMENT_OPEN,
    ),
    # Partial: a payment is written long before it is paid out or swept.
    sa.Index(
        "ix_payments_payout_id",
        "payout_id",
        sqlite_where=sa.text("payout_id IS NOT NULL"),
        postgresql_where=sa.text("payout_id IS NOT NULL"),
    ),
    sa.Index(
        "ix_payments_sweep_item_id",
        "sweep_item_id",
        sqlite_where=sa.text("sweep_item_id IS NOT NULL"),
        postgresql_where=sa.text("sweep_item_id IS NOT NULL"),
    ),
    sa.Index(
        "ix_payments_not_final",
        "chain",
        "block_number",
        sqlite_where=sa.text("status = 'confirmed' AND is_final IS 0"),
        postgresql_where=sa.text("status = 'confirmed' AND is_final IS false"),
    ),
    sa.Index(
        "ix_payments_unswept",
        "chain",
        "token",
        "merchant_id",
        "recipient",
        sqlite_where=sa.text("status = 'confirmed' AND sweep_item_id IS NULL"),
        postgresql_where=sa.text("status = 'confirmed' AND sweep_item_id IS NULL"),
    ),
    sa.Index(
        "ix_payments_unsettled",
        "merchant_id",
        "chain",
        "token",
        sqlite_where=sa.text("status = 'confirmed' AND payout_id IS NULL"),
        postgresql_where=sa.text("status = 'confirmed' AND payout_id IS NULL"),
    ),
)

sightings: Final = sa.Table(
    "sightings",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("block_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("log_index", sa.BigInteger(), primary_key=True),
    sa.Column("payment_id", sa.Text(), sa.ForeignKey("payments.id"), nullable=False),
    number("block_number"),
    moment("seen_at"),
)

ignored_logs: Final = sa.Table(
    "ignored_logs",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("recipient", sa.LargeBinary(20), primary_key=True),
    sa.Column("token_address", sa.LargeBinary(20), primary_key=True),
    sa.Column("reason", sa.Text(), primary_key=True),
    number("count", comment="recorded as payments up to a cap; counted beyond it"),
    amount("total", comment="their sum in base units, by the word of their logs"),
    number("last_block", comment="of the newest one: what is only counted is known by its place"),
    number("last_index", comment="its log's index"),
    comment="what reached a deposit address without being money",
)
