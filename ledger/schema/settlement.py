"""Promises (payouts), units of work (batches, sweep items) and attempts (transactions)."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ledger.schema.base import address, amount, hash32, metadata, moment, number, one_of, text
from ledger.schema.types import BIG_ID
from ledger.states import BatchStatus, PayoutStatus, TransactionStatus

payouts: Final = sa.Table(
    "payouts",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    sa.Column("merchant_id", sa.Text(), sa.ForeignKey("merchants.id"), nullable=False),
    text("kind"),
    text("chain"),
    text("token"),
    amount("amount"),
    amount("fee", comment="sum of the fees of the payments that it settles"),
    address("address"),
    text("status"),
    text("reason", nullable=True),
    sa.Column("batch_id", BIG_ID, sa.ForeignKey("batches.id"), nullable=True, index=True),
    number("batch_index", nullable=True),
    number("attempt", comment="how often it was put into a batch: part of the posting's key"),
    hash32("tx_hash", nullable=True),
    text("run_id", nullable=True),
    moment("created_at"),
    moment("paid_at", nullable=True),
    sa.Column(
        "invoice_id",
        sa.Text(),
        sa.ForeignKey("invoices.id"),
        nullable=True,
        index=True,
        comment="of which it is a refund",
    ),
    moment("not_before", nullable=True, comment="pending_approval ends by itself then"),
    one_of("status", PayoutStatus),
    one_of("kind", ("settlement", "refund")),
    sa.CheckConstraint(
        "status NOT IN ('batched', 'submitted', 'paid')"
        " OR (batch_id IS NOT NULL AND batch_index IS NOT NULL)",
        name="batched",
    ),
    sa.CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name="paid_at"),
    sa.CheckConstraint("status <> 'on_hold' OR reason IS NOT NULL", name="on_hold_reason"),
    sa.UniqueConstraint("batch_id", "batch_index", name="uq_payouts_batch_place"),
    sa.Index("ix_payouts_merchant_id_id", "merchant_id", "id"),
    sa.Index("ix_payouts_status_chain_token", "status", "chain", "token"),
    sa.Index(
        "ix_payouts_run_id",
        "run_id",
        "id",
        sqlite_where=sa.text("run_id IS NOT NULL"),
        postgresql_where=sa.text("run_id IS NOT NULL"),
    ),
)

payout_runs: Final = sa.Table(
    "payout_runs",
    metadata,
    sa.Column("id", sa.Text(), primary_key=True),
    text("merchant_id", nullable=True, comment="NULL: every merchant"),
    text("trigger"),
    text("status"),
    sa.Column("plan", sa.JSON(), nullable=True),
    moment("created_at"),
    moment("finished_at", nullable=True),
    text("position", nullable=True, comment="merchants up to this one are planned"),
    one_of("trigger", ("schedule", "api", "command")),
    one_of("status", ("requested", "planned", "done")),
    # Looked for every second, among the plans of years.
    sa.Index("ix_payout_runs_status_id", "status", "id"),
)

payout_run_pages: Final = sa.Table(
    "payout_run_pages",
    metadata,
    sa.Column("run_id", sa.Text(), sa.ForeignKey("payout_runs.id"), primary_key=True),
    sa.Column("position", sa.Text(), primary_key=True, comment="the last merchant of the page"),
    sa.Column("plan", sa.JSON(), nullable=False),
    comment="plans of runs of many merchants, after the first page",
)

batches: Final = sa.Table(
    "batches",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    text("chain"),
    text("lane"),
    text("purpose"),
    text("token", comment="symbol; the native coin's for a top-up"),
    number("epoch", nullable=True),
    number("onchain_id", nullable=True, comment="one-use id in the treasury's bitmap"),
    hash32("content_hash", comment="keccak-256 of what it pays or sweeps"),
    address("target", comment="contract called, or account topped up"),
    amount("value", comment="native coin sent along, wei"),
    sa.Column("calldata", sa.LargeBinary(), nullable=False),
    sa.Column("authorizations", sa.JSON(), nullable=True, comment="EIP-7702 tuples, signed"),
    number("after_batch_id", nullable=True, comment="nothing is sent before that one is final"),
    number("sealed_block", comment="cursor at sealing: it was not executed before"),
    sa.Column("size", sa.Integer(), nullable=False),
    text("status"),
    text("reason", nullable=True),
    moment("created_at"),
    moment("final_at", nullable=True),
    one_of("status", BatchStatus),
    one_of("purpose", ("payout", "sweep", "top_up", "transfer")),
    sa.UniqueConstraint("chain", "epoch", "onchain_id", name="uq_batches_onchain_id"),
    sa.Index("ix_batches_chain_lane_created_at", "chain", "lane", "created_at"),
    # What a tick asks for; the others are all that there ever was.
    sa.Index(
        "ix_batches_open",
        "chain",
        "lane",
        "id",
        sqlite_where=sa.text("status IN ('sealed', 'submitted', 'executed')"),
        postgresql_where=sa.text("status IN ('sealed', 'submitted', 'executed')"),
    ),
    sa.Index(
        "ix_batches_topped_up",
        "chain",
        "target",
        sqlite_where=sa.text("purpose = 'top_up'"),
        postgresql_where=sa.text("purpose = 'top_up'"),
    ),
)

sweep_items: Final = sa.Table(
    "sweep_items",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("batch_id", BIG_ID, sa.ForeignKey("batches.id"), nullable=False, index=True),
    number("batch_index"),
    address("address"),
    number("derivation_index"),
    text("chain"),
    text("token"),
    amount("amount"),
    text("status"),
    text("reason", nullable=True),
    one_of("status", ("sealed", "swept", "failed")),
    sa.UniqueConstraint("batch_id", "batch_index", name="uq_sweep_items_batch_place"),
    sa.Index("ix_sweep_items_address", "address"),
)

lanes: Final = sa.Table(
    "lanes",
    metadata,
    sa.Column("chain", sa.Text(), primary_key=True),
    sa.Column("lane", sa.Text(), primary_key=True),
    address("sender"),
    number("next_nonce", comment="the authority: a nonce is taken here, in the commit of P2"),
    text("halted_reason", nullable=True),
    moment("halted_at", nullable=True),
    sa.Column("accept_nonce", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("chain", "sender", name="uq_lanes_sender"),
)

transactions: Final = sa.Table(
    "transactions",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    text("chain"),
    text("lane"),
    address("sender"),
    number("nonce"),
    number("attempt", comment="0 for the first on its nonce"),
    text("purpose"),
    sa.Column("batch_id", BIG_ID, sa.ForeignKey("batches.id"), nullable=True, index=True),
    hash32("tx_hash", unique=True),
    sa.Column("raw", sa.LargeBinary(), nullable=False, comment="the signed bytes, as sent"),
    number("gas_limit"),
    amount("max_fee", comment="maxFeePerGas, wei"),
    amount("max_tip", comment="maxPriorityFeePerGas, wei"),
    text("status"),
    text("reason", nullable=True),
    moment("created_at"),
    moment("broadcast_at", nullable=True),
    number("block_number", nullable=True),
    hash32("block_hash", nullable=True),
    number("gas_used", nullable=True),
    amount("fee_paid", nullable=True, comment="wei, the L1 data fee included"),
    moment("final_at", nullable=True),
    one_of("status", TransactionStatus),
    one_of("purpose", ("payout", "sweep", "top_up", "transfer", "cancel", "gap", "deploy")),
    sa.CheckConstraint(
        "status NOT IN ('mined', 'final', 'reverted')"
        " OR (block_number IS NOT NULL AND block_hash IS NOT NULL)",
        name="mined_block",
    ),
    sa.CheckConstraint(
        "status IN ('prepared', 'signed') OR broadcast_at IS NOT NULL", name="broadcast_at"
    ),
    sa.UniqueConstraint("chain", "sender", "nonce", "attempt", name="uq_transactions_nonce"),
    sa.Index(
        "uq_transactions_settled_nonce",
        "chain",
        "sender",
        "nonce",
        unique=True,
        sqlite_where=sa.text("status IN ('mined', 'final', 'reverted')"),
        postgresql_where=sa.text("status IN ('mined', 'final', 'reverted')"),
    ),
    sa.Index(
        "uq_transactions_unbroadcast",
        "chain",
        "sender",
        unique=True,
        sqlite_where=sa.text("status IN ('prepared', 'signed')"),
        postgresql_where=sa.text("status IN ('prepared', 'signed')"),
    ),
    sa.Index(
        "ix_transactions_open",
        "chain",
        "lane",
        "nonce",
        "attempt",
        sqlite_where=sa.text("status IN ('signed', 'broadcast', 'mined')"),
        postgresql_where=sa.text("status IN ('signed', 'broadcast', 'mined')"),
    ),
)
