"""What the database itself refuses: steps outside the state machines, edited postings.

Triggers, because a CHECK cannot see the row as it was. The DDL is a pure
function of the machine, so that a migration can freeze the one it was made for.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.states import Transitions


def transition_ddl(table: str, machine: Transitions, dialect: str) -> list[str]:
    """Statements that make every status step of ``table`` outside ``machine`` fail."""
    steps = " OR ".join(
        f"(OLD.status = '{before}' AND NEW.status IN ({_words(after)}))"
        for before, after in sorted(machine.items())
        if after
    )
    wrong = f"OLD.status <> NEW.status AND NOT ({steps})"
    message = f"{table}: no such status transition"
    return _before(table, f"{table}_transition", "UPDATE", wrong, message, dialect)


def append_only_ddl(table: str, dialect: str) -> list[str]:
    """Statements that make every UPDATE and DELETE of ``table`` fail."""
    return [
        statement
        for verb in ("UPDATE", "DELETE")
        for statement in _before(
            table, f"{table}_no_{verb.lower()}", verb, "1 = 1", f"{table}: append only", dialect
        )
    ]


def all_ddl(machines: Mapping[str, Transitions], dialect: str) -> list[str]:
    """Triggers for every machine, and for the postings."""
    statements = [s for t, m in machines.items() for s in transition_ddl(t, m, dialect)]
    return [*statements, *append_only_ddl("transfers", dialect)]


def _words(values: frozenset[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _before(table: str, name: str, verb: str, wrong: str, message: str, dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table} WHEN {wrong} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        ]
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{message}' USING ERRCODE = '23514'; END $$",
        f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW "
        f"WHEN ({wrong}) EXECUTE FUNCTION {name}()",
    ]
