"""Transactions whose connection goes away."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from config.errors import DatabaseError
from tests.support.books import Books


@pytest.mark.parametrize("write", [True, False])
async def test_transaction__server_ends_the_connection__one_error_and_the_pool_is_whole(
    books: Books, write: bool
) -> None:
    ledger = books.ledger
    if ledger.engine.dialect.name != "postgresql":
        pytest.skip("of PostgreSQL")
    for _ in range(25):  # more than the pool has
        with pytest.raises(DatabaseError):
            async with ledger.transaction() if write else ledger.reading() as tx:
                pid = await tx.conn.scalar(sa.text("SELECT pg_backend_pid()"))
                async with ledger.reading() as other:
                    ended = sa.text("SELECT pg_terminate_backend(:pid, 5000)")
                    await other.conn.execute(ended, {"pid": pid})
    async with ledger.reading() as tx:
        assert await tx.conn.scalar(sa.text("SELECT 1")) == 1
    assert ledger.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_f12_commit_that_is_refused__nothing_kept_and_no_transaction_left_open(
    books: Books,
) -> None:
    """A constraint that is looked at in the end: SQLite refuses the commit and stays in it."""
    ledger = books.ledger
    async with ledger.transaction() as tx:
        await tx.conn.execute(sa.text("CREATE TABLE ends (id INTEGER PRIMARY KEY)"))
        await tx.conn.execute(
            sa.text("CREATE TABLE hangs (id INTEGER REFERENCES ends DEFERRABLE INITIALLY DEFERRED)")
        )
    with pytest.raises(sa.exc.IntegrityError):
        async with ledger.transaction() as tx:
            await tx.conn.execute(sa.text("INSERT INTO hangs VALUES (1)"))
    async with ledger.transaction() as tx:
        assert await tx.conn.scalar(sa.text("SELECT COUNT(*) FROM hangs")) == 0
    assert ledger.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
