"""What a merchant's reserve and delay are, what a payout refunds, when it may be queued."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COMMENTS = (
    ("merchants.payout_delay", "seconds; NULL: the configured one"),
    ("merchants.reserve_for", "seconds; NULL: the configured one"),
    ("payouts.invoice_id", "of which it is a refund"),
    ("payouts.not_before", "pending_approval ends by itself then"),
)


def upgrade() -> None:
    """Five columns that older rows leave empty, in the caller's transaction."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    moment = "VARCHAR(27)" if sqlite else "TIMESTAMP WITH TIME ZONE"
    for statement in (
        "ALTER TABLE merchants ADD COLUMN payout_delay BIGINT",
        "ALTER TABLE merchants ADD COLUMN reserve_bps INTEGER",
        "ALTER TABLE merchants ADD COLUMN reserve_for BIGINT",
        "ALTER TABLE payouts ADD COLUMN invoice_id TEXT "
        "CONSTRAINT fk_payouts_invoice_id REFERENCES invoices (id)",
        f"ALTER TABLE payouts ADD COLUMN not_before {moment}",
        "CREATE INDEX ix_payouts_invoice_id ON payouts (invoice_id)",
    ):
        connection.exec_driver_sql(statement)
    if not sqlite:
        for column, comment in _COMMENTS:
            connection.exec_driver_sql(f"COMMENT ON COLUMN {column} IS '{comment}'")
