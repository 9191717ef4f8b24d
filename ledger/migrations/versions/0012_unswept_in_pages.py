"""What is unswept is looked through page by page, a merchant's addresses in order."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One index, in the caller's transaction."""
    connection = op.get_bind()
    connection.exec_driver_sql("DROP INDEX ix_payments_unswept")
    connection.exec_driver_sql(
        "CREATE INDEX ix_payments_unswept ON payments (chain, token, merchant_id, recipient) "
        "WHERE status = 'confirmed' AND sweep_item_id IS NULL"
    )
