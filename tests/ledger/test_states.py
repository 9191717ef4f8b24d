"""The database refuses what the state machines do not have."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from config.errors import ConflictError
from ledger.constraints import transition_ddl
from ledger.states import MACHINES, check_transition

# What the contract says, written down again: not taken from the code. That what was ignored for
# its token alone enters once the token is registered is an addition to it (docs/api.md).
CONTRACT = {
    "payments": """
        detected>confirming detected>confirmed detected>orphaned
        confirming>confirmed confirming>orphaned
        orphaned>detected orphaned>confirming orphaned>confirmed
        confirmed>reversed
        reversed>detected reversed>confirming reversed>confirmed
        ignored>detected""",
    "payouts": """
        pending_approval>queued pending_approval>canceled
        queued>batched queued>on_hold queued>canceled
        batched>submitted batched>queued batched>on_hold
        submitted>paid submitted>queued submitted>on_hold submitted>failed
        on_hold>queued on_hold>canceled on_hold>failed
        paid>submitted""",
    "transactions": """
        prepared>signed signed>broadcast broadcast>mined mined>final
        broadcast>replaced broadcast>dead mined>broadcast mined>replaced mined>reverted""",
}
STATES = {table: set(MACHINES[table]) for table in CONTRACT}


def allowed(table: str) -> set[tuple[str, str]]:
    return {tuple(step.split(">")) for step in CONTRACT[table].split()}  # type: ignore[misc]


@pytest.mark.parametrize("table", CONTRACT)
def test_check_transition__every_pair__as_the_contract_says(table: str) -> None:
    for before, after in itertools.permutations(STATES[table], 2):
        if (before, after) in allowed(table):
            check_transition(table, before, after)
        else:
            with pytest.raises(ConflictError):
                check_transition(table, before, after)


@pytest.mark.parametrize("table", [*CONTRACT, "invoices", "batches"])
async def test_trigger__every_pair__refused_unless_in_the_machine(
    table: str, database_url: str, tmp_path: Path
) -> None:
    machine = MACHINES[table]
    engine = create_async_engine(database_url)
    async with engine.begin() as conn:
        await conn.execute(sa.text(f"CREATE TABLE {table} (status TEXT NOT NULL)"))
        for statement in transition_ddl(table, machine, conn.dialect.name):
            await conn.exec_driver_sql(statement)
    for before, after in itertools.product(machine, machine):
        async with engine.connect() as conn:
            await conn.execute(sa.text(f"INSERT INTO {table} VALUES ('{before}')"))
            change = sa.text(f"UPDATE {table} SET status = '{after}'")
            if before == after or after in machine[before]:
                await conn.execute(change)
            else:
                with pytest.raises(sa.exc.IntegrityError, match="no such status transition"):
                    await conn.execute(change)
            await conn.rollback()
    await engine.dispose()
