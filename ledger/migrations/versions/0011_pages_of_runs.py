"""A run of every merchant is planned page by page: how far it is, and the plans of its pages."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COMMENTS = (
    "COLUMN payout_runs.position IS 'merchants up to this one are planned'",
    "COLUMN payout_run_pages.position IS 'the last merchant of the page'",
    "TABLE payout_run_pages IS 'plans of runs of many merchants, after the first page'",
)


def upgrade() -> None:
    """A column and a table, in the caller's transaction."""
    connection = op.get_bind()
    connection.exec_driver_sql("ALTER TABLE payout_runs ADD COLUMN position TEXT")
    connection.exec_driver_sql(
        """CREATE TABLE payout_run_pages (
            run_id TEXT NOT NULL, position TEXT NOT NULL, plan JSON NOT NULL,
            CONSTRAINT pk_payout_run_pages PRIMARY KEY (run_id, position),
            CONSTRAINT fk_payout_run_pages_run_id_payout_runs
                FOREIGN KEY(run_id) REFERENCES payout_runs (id))"""
    )
    if connection.dialect.name == "postgresql":
        for comment in _COMMENTS:
            connection.exec_driver_sql(f"COMMENT ON {comment}")
