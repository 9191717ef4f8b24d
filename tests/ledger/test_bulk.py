"""What goes past SQLAlchemy must be, value for value, what SQLAlchemy would have stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import aiosqlite
import pytest
import sqlalchemy as sa

from config.errors import DatabaseError
from config.units import MAX_AMOUNT
from ledger.books import post
from ledger.bulk import Insert, Read, Update, execute, insert_rows, read_all, select_in, write_all
from ledger.codec import encode_json
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.schema import blocks, events, invoices, transfers
from ledger.store import Tx
from tests.support.books import Books

_INVOICES: Final = sa.select(invoices).order_by(invoices.c.id)
_BLOCKS: Final = sa.select(blocks.c.number, blocks.c.canonical).order_by(blocks.c.number)
_EVENTS: Final = sa.select(events.c.seq, events.c.object_id)
_RENAME: Final = (
    invoices.update()
    .where(invoices.c.id == sa.bindparam("wanted"))
    .values(reference=sa.bindparam("new"), updated_at=sa.bindparam("at"))
    .returning(invoices.c.id, invoices.c.updated_at)
)
_TIME: Final = datetime(2026, 2, 28, 23, 59, 59, 7, tzinfo=timezone(timedelta(hours=-5)))
_METADATA: Final = {"ключ": ["\u2028", 2**70, 0.1, None, {"a": "\x00\\u"}], "": True}


def invoice(number: int, **other: Any) -> dict[str, Any]:
    return {
        "id": f"inv_{number:04d}",
        "merchant_id": "mer_1",
        "status": "new",
        "exceptions": ["late"],
        "amount": MAX_AMOUNT - number,
        "currency": "USD",
        "address": bytes([number % 256]) * 20,
        "reference": None,
        "metadata": None if number % 2 else _METADATA,
        "redirect_url": "https://example.test/\u00e9",
        "native_coin": {"anvil": str(2**200)},
        "created_at": _TIME,
        "expires_at": _TIME + timedelta(days=number),
        "monitor_until": datetime(2026, 1, 1, tzinfo=UTC),
        "canceled_at": None if number % 3 else _TIME,
        "invalid": False,
        "updated_at": _TIME,
        **other,
    }


async def through_sqlalchemy(tx: Tx) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in await tx.conn.execute(_INVOICES)]


async def test_bulk__insert_and_read__the_same_values_as_sqlalchemy(books: Books) -> None:
    rows = [invoice(number) for number in range(7)]
    async with books.ledger.transaction() as tx:
        insert_rows(tx, invoices, rows)
        stored = await through_sqlalchemy(tx)
        assert stored == rows
        # The same bytes in the file, not only values that compare as equal.
        raw = "SELECT created_at, amount, invalid, canceled_at FROM invoices ORDER BY id"
        mine = list(await tx.conn.execute(sa.text(raw)))
        await tx.conn.execute(invoices.delete())
        await tx.conn.execute(invoices.insert(), rows)
        assert list(await tx.conn.execute(sa.text(raw))) == mine
        read = await select_in(tx, _INVOICES, invoices.c.id, [row["id"] for row in rows])
        assert read == stored
        assert [type(row["invalid"]) for row in read] == [bool] * 7
        assert all(row["created_at"].tzinfo is not None for row in read)


async def test_bulk__more_keys_than_a_chunk__each_row_once(books: Books) -> None:
    rows = [invoice(number) for number in range(1203)]
    async with books.ledger.transaction() as tx:
        write_all(tx, [Insert(invoices, rows[:3]), Insert(invoices, rows[3:])])
        wanted = [row["id"] for row in rows] + ["inv_none"]
        found = await select_in(tx, _INVOICES, invoices.c.id, wanted)
        assert [row["id"] for row in found] == wanted[:-1]
        assert await select_in(tx, _INVOICES, invoices.c.id, []) == []


async def test_bulk__update__only_these_rows_and_columns(books: Books) -> None:
    rows = [invoice(number) for number in range(4)]
    later = _TIME + timedelta(seconds=1)
    changed = [
        {**row, "status": "expired", "exceptions": [], "amount": 5, "updated_at": later}
        for row in rows[1:3]
    ]
    async with books.ledger.transaction() as tx:
        insert_rows(tx, invoices, rows)
        write_all(tx, [Update(invoices, changed, ("status", "exceptions", "updated_at"))])
        after = await through_sqlalchemy(tx)
    expected = [rows[0], *({**row, "amount": old["amount"]} for row, old in
                zip(changed, rows[1:3], strict=True)), rows[3]]  # fmt: skip
    assert after == expected


async def test_bulk__update_returning__encodes_its_parameters(books: Books) -> None:
    async with books.ledger.transaction() as tx:
        insert_rows(tx, invoices, [invoice(1)])
        moved = await execute(tx, _RENAME, wanted="inv_0001", new="x", at=_TIME)
        assert moved == [{"id": "inv_0001", "updated_at": _TIME}]
        assert await execute(tx, _RENAME, wanted="inv_none", new="x", at=_TIME) == []


async def test_bulk__first_statement_of_a_transaction__is_in_it(books: Books) -> None:
    with pytest.raises(ZeroDivisionError):
        async with books.ledger.transaction() as tx:
            insert_rows(tx, invoices, [invoice(1)])
            raise ZeroDivisionError
    async with books.ledger.reading() as tx:
        assert await read_all(tx, [Read(_INVOICES), Read(_BLOCKS)]) == [
            [],
            [{"number": 0, "canonical": True}],  # where the fixture starts
        ]


async def test_bulk__ignored_conflicts__leave_what_is_there(books: Books) -> None:
    row = {"chain": "anvil", "number": 1, "hash": b"\x01" * 32, "parent_hash": b"\x00" * 32,
           "timestamp": _TIME, "canonical": True}  # fmt: skip
    async with books.ledger.transaction() as tx:
        insert_rows(tx, blocks, [row])
        again = [{**row, "canonical": False}, {**row, "number": 2, "hash": b"\x02" * 32}]
        write_all(tx, [Insert(blocks, again, ignore=True)])
        assert (await execute(tx, _BLOCKS))[1:] == [
            {"number": 1, "canonical": True},
            {"number": 2, "canonical": True},
        ]


async def test_bulk__events__numbered_in_the_order_given(books: Books) -> None:
    rows = [
        {"id": f"evt_{n:03d}", "merchant_id": "mer_1", "type": "invoice.paid",
         "object_id": f"inv_{(n * 37) % 100}", "data": {"n": n}, "created_at": _TIME}
        for n in range(100)
    ]  # fmt: skip
    async with books.ledger.transaction() as tx:
        insert_rows(tx, events, rows)
        found = sorted(await execute(tx, _EVENTS), key=lambda row: int(row["seq"]))
    assert [row["object_id"] for row in found] == [row["object_id"] for row in rows]


async def test_bulk__writes_in_between__take_no_hop_of_their_own(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What recording a block costs on SQLite, whatever is in it: its thread woken so often."""
    if books.ledger.engine.dialect.name != "sqlite":
        return
    hops = 0
    whole = aiosqlite.Connection._execute

    async def counted(connection: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal hops
        hops += 1
        return await whole(connection, *arguments, **named)

    addresses = [(await books.invoice())[1] for _ in range(3)]
    await books.record(books.sighting(addresses[0], 10_000000))  # makes the accounts
    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    await books.record(*(books.sighting(a, 10_000000, log_index=i) for i, a in
                         enumerate(addresses[1:], 1)))  # fmt: skip
    # Begin, owners, accounts, endpoints, invoices, what is left, commit, the pool's rollback.
    assert hops <= 8


async def test_bulk__broken_constraint__is_sqlalchemys_error(books: Books) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        async with books.ledger.transaction() as tx:
            insert_rows(tx, invoices, [invoice(1), invoice(1)])
    with pytest.raises(DatabaseError, match="database:"):
        async with books.ledger.transaction() as tx:
            await select_in(tx, sa.select(sa.Table("none", sa.MetaData(), sa.Column("id"))),
                            sa.Column("id", sa.Text()), ["x"])  # fmt: skip


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1, True, 1.0, "1"])
async def test_bulk__not_an_amount__refused(books: Books, amount: object) -> None:
    with pytest.raises(TypeError, match="256-bit"):
        async with books.ledger.transaction() as tx:
            insert_rows(tx, invoices, [invoice(1, amount=amount)])


async def test_bulk__naive_time__refused(books: Books) -> None:
    with pytest.raises(TypeError, match="naive"):
        async with books.ledger.transaction() as tx:
            insert_rows(tx, invoices, [invoice(1, created_at=datetime(2026, 1, 1))])  # noqa: DTZ001


async def test_post__keys_said_to_be_fresh_that_are_not__nothing_committed(books: Books) -> None:
    deposits = AccountRef(AccountKind.DEPOSITS, "anvil", "USDC")
    owner = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
    transfer = Transfer("k", deposits, owner, 7, "payment", "pay_1")
    async with books.ledger.transaction() as tx:
        assert await post(tx, [transfer]) == 1
        assert await post(tx, [transfer]) == 0
    with pytest.raises(sa.exc.IntegrityError):
        async with books.ledger.transaction() as tx:
            await post(tx, [transfer], fresh=True)
    async with books.ledger.reading() as tx:
        assert await tx.conn.scalar(sa.select(sa.func.count()).select_from(transfers)) == 1


def test_encode_json__lone_surrogate__escaped() -> None:
    assert encode_json({"a": "\ud800"}) == '{"a":"\\ud800"}'
