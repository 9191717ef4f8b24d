"""The image keeps a log of what changed, so that checks need not compare all of it each time.

Triggers write it in the product's own transaction: what is rolled back is not in it.
"""

from __future__ import annotations

import sqlite3

from ledger.states import MACHINES

WATCHED = {
    **dict.fromkeys(MACHINES, ("status",)),
    "payments": ("status", "block_hash", "is_final"),
    "accounts": (),
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
