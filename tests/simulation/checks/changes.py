"""The image keeps a log of what changed, so that checks need not compare all of it each time.

Triggers write it in the product's own transaction: what is rolled back is not in it.
"""

from __future__ import annotations

import sqlite3
from typing import Protocol

from ledger.states import MACHINES

WATCHED = {
    **dict.fromkeys(MACHINES, ("status",)),
    "payments": ("status", "block_hash", "is_final"),
    "accounts": (),
    "webhook_endpoints": ("secret_encrypted", "status", "deleted_at"),
    "api_keys": ("revoked_at",),
}
"""Columns whose change counts; none: any."""
KEPT = (*MACHINES, "accounts", "transfers")
"""Nothing of these is ever deleted: history is evidence."""


def log_changes(connection: sqlite3.Connection) -> None:
    """Add the log and its triggers to a migrated database."""
    connection.execute(
        "CREATE TABLE sim_changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl, id, status)"
    )
    for table, columns in WATCHED.items():
        status = "NEW.status" if table in MACHINES else "NULL"
        change = f"UPDATE OF {', '.join(columns)}" if columns else "UPDATE"
        for name, event in (("made", "INSERT"), ("changed", change)):
            connection.execute(
                f"CREATE TRIGGER sim_{table}_{name} AFTER {event} ON {table} BEGIN"
                f" INSERT INTO sim_changes (tbl, id, status)"
                f" VALUES ('{table}', NEW.id, {status}); END"
            )
    for table in KEPT:
        connection.execute(
            f"CREATE TRIGGER sim_{table}_deleted AFTER DELETE ON {table} BEGIN"
            f" INSERT INTO sim_changes (tbl, id, status) VALUES ('deleted', OLD.id, '{table}'); END"
        )


class Session(Protocol):
    """On PostgreSQL."""

    def script(self, sql: str) -> None: ...


def log_changes_postgresql(session: Session) -> None:
    """The same. ``seq`` is the order of the changes, not of their commits."""
    session.script(
        "CREATE TABLE sim_changes"
        " (seq BIGINT GENERATED ALWAYS AS IDENTITY, tbl TEXT, id JSONB, status TEXT)"
    )
    for name, row, table, status in (
        ("status", "NEW", "TG_TABLE_NAME", "NEW.status"),
        ("change", "NEW", "TG_TABLE_NAME", "NULL"),
        ("end", "OLD", "'deleted'", "TG_TABLE_NAME"),
    ):
        session.script(
            f"CREATE FUNCTION sim_log_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" INSERT INTO sim_changes (tbl, id, status)"
            f" VALUES ({table}, to_jsonb({row}.id), {status}); RETURN NULL; END $$"
        )
    for table, columns in WATCHED.items():
        function = "sim_log_status" if table in MACHINES else "sim_log_change"
        change = f"UPDATE OF {', '.join(columns)}" if columns else "UPDATE"
        session.script(
            f"CREATE TRIGGER sim_{table}_changed AFTER INSERT OR {change} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
    for table in KEPT:
        session.script(
            f"CREATE TRIGGER sim_{table}_deleted AFTER DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION sim_log_end()"
        )
