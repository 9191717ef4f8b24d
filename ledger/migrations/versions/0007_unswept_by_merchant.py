"""What is unswept is found by merchant, and whether an address was swept before by address."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two indexes, in the caller's transaction."""
    connection = op.get_bind()
    connection.exec_driver_sql("DROP INDEX ix_payments_unswept")
    connection.exec_driver_sql(
        "CREATE INDEX ix_payments_unswept ON payments (chain, token, merchant_id) "
        "WHERE status = 'confirmed' AND sweep_item_id IS NULL"
    )
    connection.exec_driver_sql("CREATE INDEX ix_sweep_items_address ON sweep_items (address)")
