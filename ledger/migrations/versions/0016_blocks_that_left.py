"""Blocks that left the chain are found through an index of their own: each comparison asks."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One index, in the caller's transaction."""
    bind = op.get_bind()
    no = "0" if bind.dialect.name == "sqlite" else "false"
    bind.exec_driver_sql(
        f"CREATE INDEX ix_blocks_left ON blocks (chain, hash) WHERE canonical IS {no}"
    )
