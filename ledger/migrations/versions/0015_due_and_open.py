"""What is looked for every second or tick among all there ever was: due, asked for, on hold."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "CREATE INDEX ix_merchants_next_settlement_at ON merchants (next_settlement_at, id)",
    "CREATE INDEX ix_payout_runs_status_id ON payout_runs (status, id)",
    "CREATE INDEX ix_holds_open ON holds (kind, object_id) WHERE released_at IS NULL",
)


def upgrade() -> None:
    """Three indexes, in the caller's transaction."""
    for statement in _STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
