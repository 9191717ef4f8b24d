"""On which chains the factory of deposit addresses without keys was found."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COMMENTS = (
    ("deposit_factories.forwarder", "what the factory''s addresses delegate every call to"),
    ("deposit_factories.checked_at", "when the factory''s code on chain was found so"),
)


def upgrade() -> None:
    """One table, in the caller's transaction."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    moment = "VARCHAR(27)" if sqlite else "TIMESTAMP WITH TIME ZONE"
    blob = "BLOB" if sqlite else "BYTEA"
    big = "INTEGER" if sqlite else "BIGINT"
    connection.exec_driver_sql(
        f"""CREATE TABLE deposit_factories (
            chain_id {big} NOT NULL, factory {blob} NOT NULL, forwarder {blob} NOT NULL,
            checked_at {moment},
            CONSTRAINT pk_deposit_factories PRIMARY KEY (chain_id))"""
    )
    if not sqlite:
        for column, comment in _COMMENTS:
            connection.exec_driver_sql(f"COMMENT ON COLUMN {column} IS '{comment}'")
