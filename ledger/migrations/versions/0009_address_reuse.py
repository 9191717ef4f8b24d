"""Deposit addresses may serve again: whose they were before, and when they are free."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COMMENTS = {
    "deposit_addresses.merchant_id": "set where the address may serve again",
    "deposit_addresses.free_from": "end of its invoice''s time; NULL: it serves once",
    "deposit_addresses.assigned_at": "since when it has this invoice; NULL: from the beginning",
    "earlier_assignments.ended_at": "blocks before it pay this invoice",
}


def upgrade() -> None:
    """Three columns, an index and a table, in the caller's transaction."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    moment = "VARCHAR(27)" if sqlite else "TIMESTAMP WITH TIME ZONE"
    blob = "BLOB" if sqlite else "BYTEA"
    for column, kind in (("merchant_id", "TEXT"), ("free_from", moment), ("assigned_at", moment)):
        connection.exec_driver_sql(f"ALTER TABLE deposit_addresses ADD COLUMN {column} {kind}")
    connection.exec_driver_sql(
        "CREATE INDEX ix_deposit_addresses_free ON deposit_addresses (merchant_id, free_from) "
        "WHERE free_from IS NOT NULL"
    )
    connection.exec_driver_sql(
        f"""CREATE TABLE earlier_assignments (
            invoice_id TEXT NOT NULL, address {blob} NOT NULL, ended_at {moment} NOT NULL,
            CONSTRAINT pk_earlier_assignments PRIMARY KEY (invoice_id),
            CONSTRAINT fk_earlier_assignments_invoice_id_invoices
                FOREIGN KEY(invoice_id) REFERENCES invoices (id))"""
    )
    connection.exec_driver_sql(
        "CREATE INDEX ix_earlier_assignments_address ON earlier_assignments (address)"
    )
    if not sqlite:
        for column, comment in _COMMENTS.items():
            connection.exec_driver_sql(f"COMMENT ON COLUMN {column} IS '{comment}'")
