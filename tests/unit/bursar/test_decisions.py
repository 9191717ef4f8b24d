"""What an operator decides over HTTP is in the audit log, as what is decided by command is."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bursar.costing import Quotes
from bursar.operations import Operations
from config.errors import ConflictError
from ledger.holds import hold
from ledger.invoices import Tolerance
from ledger.payment_rows import PaymentPolicy
from ledger.schema import audit_log
from tests.support.books import Books
from tests.unit.settlement.test_runs import runs

LINE = (audit_log.c.actor, audit_log.c.action, audit_log.c.object_id, audit_log.c.detail)


async def test_operations__pause_resume_release__a_line_each_in_the_same_commit(
    books: Books,
) -> None:
    operations = Operations(
        books.ledger,
        runs(books),
        policy=PaymentPolicy(),
        tolerance=Tolerance(),
        quotes=Quotes({}, books.clock),
        max_batch=400,
    )
    place = "anvil/USDC/treasury"
    async with books.ledger.transaction() as tx:
        hold_id = await hold(tx, "batch", "treasury", place, "too little")
        await operations.pause(tx, "payouts", "anvil", "looking at it")
        await operations.resume(tx, "all", None)
        await operations.release_hold(tx, hold_id)
    with pytest.raises(ConflictError):
        async with books.ledger.transaction() as tx:
            await operations.pause(tx, "sweeps", None, None)
            await operations.release_hold(tx, hold_id)
    async with books.ledger.reading() as tx:
        lines = [tuple(row) for row in await tx.conn.execute(sa.select(*LINE).order_by("id"))]
    assert lines == [
        ("admin", "pause", "payouts:anvil", {"reason": "looking at it"}),
        ("admin", "resume", "all", {"scopes": ["payouts:anvil"]}),
        ("admin", "release", place, {"hold": hold_id, "reason": "too little"}),
    ]
