"""Initial schema."""

from __future__ import annotations

from alembic import op

from ledger.constraints import all_ddl
from ledger.schema import metadata
from ledger.states import MACHINES

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables, then the triggers that guard them."""
    connection = op.get_bind()
    metadata.create_all(connection)
    for statement in all_ddl(MACHINES, connection.dialect.name):
        op.execute(statement)
