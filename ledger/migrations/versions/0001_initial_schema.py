"""Initial schema: tables, indexes, and the triggers that guard them.

The statements are frozen, one file per database, so that later changes of the
tables in code cannot change what this revision did.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Everything, statement by statement, in the caller's transaction."""
    connection = op.get_bind()
    path = Path(__file__).with_name(f"0001_{connection.dialect.name}.sql")
    for statement in path.read_text("utf-8").split("\n;;\n"):
        connection.exec_driver_sql(statement)
