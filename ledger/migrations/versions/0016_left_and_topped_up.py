"""Blocks that left the chain, and accounts that got gas, have indexes: each comparison asks."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two indexes, in the caller's transaction."""
    bind = op.get_bind()
    no = "0" if bind.dialect.name == "sqlite" else "false"
    bind.exec_driver_sql(
        f"CREATE INDEX ix_blocks_left ON blocks (chain, hash) WHERE canonical IS {no}"
    )
    bind.exec_driver_sql(
        "CREATE INDEX ix_batches_topped_up ON batches (chain, target) WHERE purpose = 'top_up'"
    )
