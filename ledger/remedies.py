"""What to do about a database that does not do what it was told; pure."""

from __future__ import annotations

from typing import Final

_ANY: Final = "see that it runs, is reachable and has been migrated (bursar migrate)"
_REMEDIES: Final = (
    (
        "readonly database",
        "its file, the -wal and -shm beside it and the folder must be writable",
    ),
    ("read-only transaction", "this server takes no writes: name the primary in database.url"),
    ("disk is full", "make room on its disk"),
    ("No space left", "make room on its disk"),
    ("disk I/O error", "look at the disk, and at what else uses it"),
    ("unable to open database file", "its file and folder must be there, readable and writable"),
    ("not a database", "restore it from its backup: docs/runbooks/restore.md"),
    ("malformed", "restore it from its backup: docs/runbooks/restore.md"),
)
"""By what SQLite (sqlite3.c, ``sqlite3ErrStr``) and PostgreSQL say."""


def remedy_of(said: str, otherwise: str = _ANY) -> str:
    """What helps, by the database's own words; ``otherwise`` where they are none of these."""
    return next((remedy for words, remedy in _REMEDIES if words in said), otherwise)
