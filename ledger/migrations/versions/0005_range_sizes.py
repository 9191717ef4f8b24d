"""What providers have taught about the size of a range is remembered over restarts."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COMMENTS = {
    "size": "blocks of a range that was answered last",
    "ceiling": "the most that it takes, by its own words",
    "ceiling_at": "since when it is held to be so",
}


def upgrade() -> None:
    """One table, in the caller's transaction."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    moment = "VARCHAR(27)" if sqlite else "TIMESTAMP WITH TIME ZONE"
    connection.exec_driver_sql(
        f"""CREATE TABLE provider_ranges (
            chain TEXT NOT NULL, provider TEXT NOT NULL, size BIGINT NOT NULL,
            ceiling BIGINT NOT NULL, ceiling_at {moment} NOT NULL,
            CONSTRAINT pk_provider_ranges PRIMARY KEY (chain, provider),
            CONSTRAINT ck_provider_ranges_size CHECK (size >= 1 AND ceiling >= size))"""
    )
    if not sqlite:
        for column, comment in _COMMENTS.items():
            connection.exec_driver_sql(f"COMMENT ON COLUMN provider_ranges.{column} IS '{comment}'")
