"""A run's payouts are found through an index: looking at one run read every payout there is."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One index, in the caller's transaction."""
    op.get_bind().exec_driver_sql(
        "CREATE INDEX ix_payouts_run_id ON payouts (run_id, id) WHERE run_id IS NOT NULL"
    )
