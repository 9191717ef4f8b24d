"""A revoked payout address is paid nothing that is not sealed already."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.units import Address
from ledger.destinations import (
    REVOKED,
    NewDestination,
    create_destination,
    revoke_destination,
    revoked_among,
)
from ledger.payouts import NewPayout, create_payouts, lock_payouts
from ledger.schema import payouts
from tests.support.books import Books

OLD = Address(b"\xd1" * 20)
NEW = Address(b"\xd2" * 20)


async def destination(
    books: Books, address: Address, token: str | None = None, hours: int = 0
) -> str:
    async with books.ledger.transaction() as tx:
        new = NewDestination("anvil", token, address)
        cooling_off = timedelta(hours=hours)
        made = await create_destination(tx, "mer_1", new, cooling_off=cooling_off, refused=())
    return str(made["id"])


async def promises(books: Books, *made: NewPayout) -> list[str]:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all()
    async with books.ledger.transaction() as tx:
        return await create_payouts(tx, made)


async def revoke(books: Books, destination_id: str) -> None:
    async with books.ledger.transaction() as tx:
        await revoke_destination(tx, "mer_1", destination_id)


async def reasons(books: Books, ids: list[str]) -> list[tuple[str, str | None]]:
    async with books.ledger.reading() as tx:
        query = sa.select(payouts.c.id, payouts.c.status, payouts.c.reason)
        found = {row.id: (row.status, row.reason) for row in await tx.conn.execute(query)}
    return [found[payout] for payout in ids]


async def test_revoked__payouts_in_no_batch__canceled_but_for_refunds_and_others(
    books: Books,
) -> None:
    old = await destination(books, OLD)
    place = ("mer_1", "anvil", "USDC", 1_000000)
    ids = await promises(
        books,
        NewPayout(*place, OLD),
        NewPayout(*place, OLD, reason="recipient is blacklisted"),
        NewPayout(*place, OLD, reason="large", waits=True),
        NewPayout(*place, OLD, kind="refund"),
        NewPayout(*place, NEW),
    )
    await revoke(books, old)
    gone = ("canceled", REVOKED)
    assert await reasons(books, ids) == [gone, gone, gone, ("queued", None), ("queued", None)]


@pytest.mark.parametrize(
    ("second", "revoked", "kept"),
    [(None, "USDC", True), ("USDC", None, True), ("USDT", None, False), (None, "USDT", True)],
)
async def test_revoked__address_still_named_by_another__only_what_nothing_names_is_canceled(
    books: Books, second: str | None, revoked: str | None, kept: bool
) -> None:
    gone = await destination(books, OLD, revoked)
    await destination(books, OLD, second)
    ids = await promises(books, NewPayout("mer_1", "anvil", "USDC", 1_000000, OLD))
    await revoke(books, gone)
    assert await reasons(books, ids) == [("queued", None) if kept else ("canceled", REVOKED)]


async def test_revoked_and_named_again__nothing_goes_there_before_that_has_cooled_off(
    books: Books,
) -> None:
    """Whoever has a merchant's key could else name an address again that was given up, and be
    paid at once what was on its way to it: in no batch, or back from one."""
    gone = await destination(books, OLD)
    (queued,) = await promises(books, NewPayout("mer_1", "anvil", "USDC", 1_000000, OLD))
    await destination(books, OLD, hours=24)
    await revoke(books, gone)
    assert await reasons(books, [queued]) == [("canceled", REVOKED)]
    async with books.ledger.transaction() as tx:
        (row,) = await lock_payouts(tx, [queued])
        back = {**row, "attempt": 1, "status": "queued"}
        assert await revoked_among(tx, [back]) == {queued}
    books.clock.advance(24 * 3600)
    async with books.ledger.reading() as tx:
        assert await revoked_among(tx, [back]) == set()
