"""What was ignored for its token may enter the books once the token is registered; nothing else."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_STEPS = (
    ("confirmed", ("reversed",)),
    ("confirming", ("confirmed", "orphaned")),
    ("detected", ("confirmed", "confirming", "orphaned")),
    ("orphaned", ("confirmed", "confirming", "detected")),
    ("reversed", ("confirmed", "confirming", "detected")),
)
_LATE = "OLD.status = 'ignored' AND OLD.reason = 'unsupported_token' AND NEW.status = 'detected'"


def upgrade() -> None:
    """One trigger in place of another, in the caller's transaction."""
    connection = op.get_bind()
    known = (
        f"(OLD.status = '{before}' AND NEW.status IN ({', '.join(repr(s) for s in after)}))"
        for before, after in _STEPS
    )
    wrong = f"OLD.status <> NEW.status AND NOT ({' OR '.join([*known, f'({_LATE})'])})"
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DROP TRIGGER payments_transition")
        connection.exec_driver_sql(
            f"CREATE TRIGGER payments_transition BEFORE UPDATE ON payments WHEN {wrong} "
            "BEGIN SELECT RAISE(ABORT, 'payments: no such status transition'); END"
        )
        return
    connection.exec_driver_sql("DROP TRIGGER payments_transition ON payments")
    connection.exec_driver_sql(
        "CREATE TRIGGER payments_transition BEFORE UPDATE ON payments FOR EACH ROW "
        f"WHEN ({wrong}) EXECUTE FUNCTION payments_transition()"
    )
