"""Three indexes less: one that only a reorg used, and two that no query did.

Payments above a block are found by ``ix_payments_open`` and ``ix_payments_not_final``. Looking
for known payments by chain and transaction, PostgreSQL's plan from a small table read every
payment of the chain through the one on chain and block number.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_UNUSED = ("ix_payments_chain_block_number", "ix_sightings_payment_id", "ix_transfers_object_id")


def upgrade() -> None:
    """In the caller's transaction."""
    for index in _UNUSED:
        op.get_bind().exec_driver_sql(f"DROP INDEX {index}")
