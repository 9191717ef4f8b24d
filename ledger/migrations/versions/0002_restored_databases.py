"""What tells a restored database: its installation, leases that are ready, blocks compared."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two small tables and two columns, in the caller's transaction."""
    connection = op.get_bind()
    moment = "VARCHAR(27)" if connection.dialect.name == "sqlite" else "TIMESTAMP WITH TIME ZONE"
    false = "0" if connection.dialect.name == "sqlite" else "false"
    for statement in (
        "CREATE TABLE installation (id INTEGER NOT NULL, name TEXT NOT NULL, "
        f"created_at {moment} NOT NULL, CONSTRAINT pk_installation PRIMARY KEY (id))",
        "CREATE TABLE comparisons (chain TEXT NOT NULL, block BIGINT NOT NULL, "
        f"at {moment} NOT NULL, CONSTRAINT pk_comparisons PRIMARY KEY (chain))",
        "ALTER TABLE leases ADD COLUMN ready_token BIGINT",
        f"ALTER TABLE lanes ADD COLUMN accept_nonce BOOLEAN DEFAULT {false} NOT NULL",
    ):
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "postgresql":
        for column, comment in (
            ("installation.name", "what the journal outside the database is bound to"),
            (
                "comparisons.block",
                "up to it the chain held no outflow that these books do not know",
            ),
            ("leases.ready_token", "fencing token whose holder knows its part true"),
        ):
            connection.exec_driver_sql(f"COMMENT ON COLUMN {column} IS '{comment}'")
