"""Double entry: accounts with four totals, and transfers that are never edited."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import amount, metadata, moment, one_of, text
from ledger.schema.types import BIG_ID

TRANSFER_KINDS: Final = ("posted", "pending", "post", "void")

accounts: Final = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    text("kind"),
    text("chain"),
    text("token"),
    text("merchant_id", comment="'' for the house's own"),
    amount("debits_pending"),
    amount("debits_posted"),
    amount("credits_pending"),
    amount("credits_posted"),
    sa.UniqueConstraint("kind", "chain", "token", "merchant_id", name="uq_accounts_identity"),
    sa.Index("ix_accounts_merchant_id", "merchant_id"),
)

transfers: Final = sa.Table(
    "transfers",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    text("key", unique=True, comment="what makes a repeated posting a no-op"),
    text("kind"),
    sa.Column(
        "pending_id",
        BIG_ID,
        sa.ForeignKey("transfers.id"),
        nullable=True,
        unique=True,
        comment="the pending transfer that this one posts or voids: once",
    ),
    sa.Column("debit_account_id", BIG_ID, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("credit_account_id", BIG_ID, sa.ForeignKey("accounts.id"), nullable=False),
    amount("amount"),
    text("reason"),
    # No index: nothing asks by it, and the keys of a payment's transfers begin with its id.
    text("object_id", comment="payment, payout, sweep or hold that it tells of"),
    moment("created_at"),
    one_of("kind", TRANSFER_KINDS),
    sa.CheckConstraint(
        "(kind IN ('post', 'void') AND pending_id IS NOT NULL)"
        " OR (kind IN ('posted', 'pending') AND pending_id IS NULL)",
        name="pending_id",
    ),
    sa.CheckConstraint("debit_account_id <> credit_account_id", name="accounts"),
    sa.Index("ix_transfers_debit_account_id_id", "debit_account_id", "id"),
    sa.Index("ix_transfers_credit_account_id_id", "credit_account_id", "id"),
)
