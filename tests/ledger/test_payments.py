"""From sighting to money on both databases: credited once, taken back whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.units import MAX_AMOUNT, ZERO_ADDRESS, Address
from ledger.audit import ignored_amounts
from ledger.books import all_totals, totals_of
from ledger.driver import Driver, Rows, Step
from ledger.invoices import Touched
from ledger.payment_moves import PaymentMove, mark_confirming, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payments import IGNORED_CAP, TOKENS_CAP
from ledger.postings import DEBIT_NORMAL, AccountKind, AccountRef, Totals, Transfer, balance
from ledger.schema import events, ignored_logs, payments, sightings
from ledger.states import PaymentStatus
from tests.support.books import BRIDGED, DAI, STRANGER_TOKEN, USDT, Books, digest

MERCHANT = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
HELD = AccountRef(AccountKind.HELD, "anvil", "USDC", "mer_1")


async def totals(books: Books, ref: AccountRef = MERCHANT) -> Totals:
    async with books.ledger.reading() as tx:
        return (await totals_of(tx, [ref]))[ref]


async def event_types(books: Books) -> list[str]:
    async with books.ledger.reading() as tx:
        query = sa.select(events.c.type).order_by(events.c.seq)
        return list((await tx.conn.execute(query)).scalars())


async def assert_balanced(books: Books) -> None:
    async with books.ledger.reading() as tx:
        found = await all_totals(tx)
    owned = sum(balance(r.kind, t) for r, t in found.items() if r.kind in DEBIT_NORMAL)
    owed = sum(balance(r.kind, t) for r, t in found.items() if r.kind not in DEBIT_NORMAL)
    assert owned == owed


async def test_record__exact_payment__pending_then_available_less_fee(books: Books) -> None:
    books.policy = replace(books.policy, fee_bps=150)
    invoice, address = await books.invoice(10_000001)
    recorded = await books.record(books.sighting(address, 10_000001))
    assert recorded.credited == 1
    assert await totals(books) == Totals(credits_pending=10_000001)
    assert (await books.view(invoice))["status"] == "processing"
    await books.confirm_all()
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == ("paid", [])
    assert view["payments"][0]["fee"] == "0.15"  # type: ignore[index]
    assert await totals(books) == Totals(credits_posted=10_000001, debits_posted=150000)
    assert await event_types(books) == [
        "invoice.created",
        "payment.detected",
        "invoice.processing",
        "payment.confirmed",
        "invoice.paid",
    ]
    await assert_balanced(books)


async def test_pass__looks_for_payments__each_by_its_own_index(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With statistics of an empty table, as a new installation's: none reads a chain's payments."""
    asked: list[Step] = []
    whole = Driver.fetch_all

    async def spied(driver: Driver, steps: Sequence[Step]) -> list[Rows]:
        asked.extend(steps)
        return await whole(driver, steps)

    def note(
        _c: object, _cursor: object, sql: str, values: Sequence[object], *_rest: object
    ) -> None:
        asked.append((sql, values))

    monkeypatch.setattr(Driver, "fetch_all", spied)
    sa.event.listen(books.ledger.engine.sync_engine, "before_cursor_execute", note)
    _, address = await books.invoice()
    await books.record(books.sighting(address, 10_000000))
    await books.advance(books.block(1))
    async with books.ledger.transaction() as tx:
        await mark_confirming(tx, "anvil", 0)
    await books.rewind_to(books.block(0))
    look = re.compile("SELECT.*FROM payments|UPDATE payments", re.DOTALL)
    looks = [step for step in asked if look.match(step[0])]
    plans: Counter[str] = Counter()
    async with books.ledger.transaction() as tx:
        await tx.driver.prefer_indexes()
        explain = "EXPLAIN QUERY PLAN" if tx.dialect == "sqlite" else "EXPLAIN"
        for sql, values in looks:
            (lines,) = await whole(tx.driver, [(f"{explain} {sql}", values)])
            text = " ".join(str(part) for line in lines for part in line)
            plans.update(re.findall(r"(?:autoindex|uq|ix)_payments_\w+", text))
            assert "Filter: (tx_hash" not in text, "the index is used for the chain alone"
    assert plans == {
        "autoindex_payments_2" if tx.dialect == "sqlite" else "uq_payments_identity": 1,
        "ix_payments_open": 2,  # confirming, taken back
        "ix_payments_not_final": 1,
        "ix_payments_invoice_id": 3,  # opened, recorded, taken back
    }


async def test_record__same_sighting_again__credited_once(books: Books) -> None:
    _, address = await books.invoice()
    seen = books.sighting(address, 10_000000)
    await books.record(seen)
    again = await books.record(seen, seen)
    assert (again.credited, again.duplicates) == (0, 2)
    assert await totals(books) == Totals(credits_pending=10_000000)


async def test_f24_record__two_transfers_in_one_transaction__both_counted(books: Books) -> None:
    invoice, address = await books.invoice(10_000000)
    first = books.sighting(address, 5_000000, tx_hash=digest("one"))
    await books.record(first, replace(first, ordinal=1, log_index=1))
    view = await books.view(invoice)
    assert view["status"] == "processing"
    assert len(view["payments"]) == 2  # type: ignore[arg-type]


async def test_f24_record__fifty_invoices_in_one_transaction__each_once(books: Books) -> None:
    opened = [await books.invoice(1_000000) for _ in range(50)]
    one = digest("one")
    found = [
        books.sighting(address, 1_000000, tx_hash=one, ordinal=i, log_index=i)
        for i, (_, address) in enumerate(opened)
    ]
    assert (await books.record(*found)).credited == 50
    assert {(await books.view(i))["status"] for i, _ in opened} == {"processing"}


@pytest.mark.parametrize(
    ("offset", "status", "exceptions"),
    [(-1, "partially_paid", []), (0, "processing", []), (1, "processing", ["overpaid"])],
)
async def test_f25_record__one_unit_off__exact(
    books: Books, offset: int, status: str, exceptions: list[str]
) -> None:
    invoice, address = await books.invoice(10_000000)
    await books.record(books.sighting(address, 10_000000 + offset))
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == (status, exceptions)


async def test_f25_record__largest_amount_there_is__exact(books: Books) -> None:
    invoice, address = await books.invoice(1_000000)
    await books.record(books.sighting(address, MAX_AMOUNT))
    await books.confirm_all()
    assert await totals(books) == Totals(credits_posted=MAX_AMOUNT)
    view = await books.view(invoice)
    assert view["payments"][0]["amount"].replace(".", "") == str(MAX_AMOUNT)  # type: ignore[index]


async def test_record__several_tokens__add_up_in_the_currency(books: Books) -> None:
    invoice, address = await books.invoice(10_000000)
    await books.record(
        books.sighting(address, 4_000000),
        books.sighting(address, 3_500000, token_address=USDT, tx_hash=digest("b")),
        books.sighting(address, 2_500000 * 10**12, token_address=DAI, tx_hash=digest("c")),
    )
    await books.confirm_all()
    view = await books.view(invoice)
    assert view["status"] == "paid"
    assert {o["token"]: o["amount_received"] for o in view["options"]} == {  # type: ignore[attr-defined]
        "USDC": "4.00",
        "USDT": "3.50",
        "DAI": "2.50",
    }


@pytest.mark.parametrize(
    ("changes", "reason", "exceptions"),
    [
        ({"amount": 0}, "zero_value", []),
        ({"token_address": STRANGER_TOKEN}, "unsupported_token", ["wrong_token"]),
        ({"token_address": BRIDGED}, "unsupported_token", ["wrong_token"]),
        ({"malformed": True}, "malformed", []),
        ({"sender": digest("deposit", 0)[:20]}, "zero_value", []),  # to itself
    ],
)
async def test_f23_record__not_money__ignored_with_its_reason_and_not_booked(
    books: Books, changes: dict[str, object], reason: str, exceptions: list[str]
) -> None:
    invoice, address = await books.invoice()
    recorded = await books.record(books.sighting(address, 10_000000, **changes))
    view = await books.view(invoice)
    assert recorded.ignored == 1
    assert [(p["status"], p["reason"]) for p in view["payments"]] == [("ignored", reason)]  # type: ignore[attr-defined]
    assert (view["status"], view["exceptions"]) == ("new", exceptions)
    async with books.ledger.reading() as tx:
        assert await all_totals(tx) == {}


async def test_f23_record__dust_by_the_thousand__kept_to_a_cap_and_counted(books: Books) -> None:
    books.policy = PaymentPolicy(dust=10)
    invoice, address = await books.invoice()
    found = [
        books.sighting(address, 7, tx_hash=digest(i), log_index=i) for i in range(IGNORED_CAP + 50)
    ]
    await books.record(*found)
    again = await books.record(*found)
    late = books.sighting(address, 7, tx_hash=digest("more"), block=books.block(2))
    await books.record(late)
    assert len((await books.view(invoice))["payments"]) == IGNORED_CAP  # type: ignore[arg-type]
    assert (again.ignored, again.duplicates) == (0, IGNORED_CAP)
    async with books.ledger.reading() as tx:
        (row,) = await tx.conn.execute(sa.select(ignored_logs))
        assert (row.count, row.total) == (IGNORED_CAP + 51, 7 * (IGNORED_CAP + 51))
        # Reconciliation explains the whole of it, what has no row of its own too.
        assert await ignored_amounts(tx, "anvil") == {"USDC": 7 * (IGNORED_CAP + 51)}


async def test_f23_record__a_thousand_look_alike_contracts__counted_as_one_beyond_a_hundred(
    books: Books,
) -> None:
    invoice, address = await books.invoice()
    found = [
        books.sighting(
            address, 5, tx_hash=digest(i), log_index=i, token_address=Address(digest(i)[:20])
        )
        for i in range(1_000)
    ]
    for start in range(0, 1_000, 250):
        await books.record(*found[start : start + 250])
    async with books.ledger.reading() as tx:
        rows = list(await tx.conn.execute(sa.select(ignored_logs)))
    others = [row for row in rows if row.token_address == ZERO_ADDRESS]
    assert len(rows) == TOKENS_CAP + 1
    assert [(row.count, row.total) for row in others] == [(900, 4_500)]
    assert len((await books.view(invoice))["payments"]) == TOKENS_CAP + IGNORED_CAP  # type: ignore[arg-type]
    # A registered token is never lost among them.
    await books.record(books.sighting(address, 5, tx_hash=digest("real")))
    assert (await books.view(invoice))["status"] == "partially_paid"


async def test_f23_record__worthless_token_with_huge_amounts__sum_ends_at_256_bits(
    books: Books,
) -> None:
    _, address = await books.invoice()
    huge = [
        books.sighting(address, MAX_AMOUNT, token_address=STRANGER_TOKEN, tx_hash=digest(i))
        for i in range(2)
    ]
    await books.record(*huge)
    async with books.ledger.reading() as tx:
        (row,) = await tx.conn.execute(sa.select(ignored_logs))
    assert (row.count, row.total) == (2, MAX_AMOUNT)


@pytest.mark.parametrize(
    ("tokens", "chain", "reason"),
    [
        ((("anvil", "USDT"),), "anvil", "wrong_token"),
        ((("other", "USDC"),), "anvil", "wrong_chain"),
    ],
)
async def test_f24_record__not_offered__held_for_the_merchant(
    books: Books, tokens: tuple[tuple[str, str], ...], chain: str, reason: str
) -> None:
    invoice, address = await books.invoice(tokens=tokens)
    await books.record(books.sighting(address, 10_000000, chain=chain))
    await books.confirm_all()
    view = await books.view(invoice)
    assert view["status"] == "new"
    assert view["exceptions"] == [reason, "held"]
    assert await totals(books, HELD) == Totals(credits_posted=10_000000)
    assert await totals(books) == Totals()


async def test_record__after_expiry__credited_and_labelled_late(books: Books) -> None:
    invoice, address = await books.invoice()
    late = books.clock.now() + timedelta(minutes=31)
    books.clock.advance(32 * 60)
    await books.record(books.sighting(address, 10_000000, block_time=late))
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == ("processing", ["late"])
    assert await totals(books) == Totals(credits_pending=10_000000)


async def test_f26_record__two_in_the_second_of_expiry__decided_by_block_time(books: Books) -> None:
    invoice, address = await books.invoice()
    deadline = books.clock.now() + timedelta(minutes=30)
    books.clock.advance(3600)
    await books.record(books.sighting(address, 4_000000, block_time=deadline))
    assert "late" not in (await books.view(invoice))["exceptions"]  # type: ignore[operator]
    await books.record(
        books.sighting(address, 6_000000, block_time=deadline + timedelta(microseconds=1))
    )
    assert "late" in (await books.view(invoice))["exceptions"]  # type: ignore[operator]


async def test_record__after_monitoring_ended__held_as_unmatched(books: Books) -> None:
    invoice, address = await books.invoice()
    await books.record(
        books.sighting(address, 10_000000, block_time=books.clock.now() + timedelta(hours=25))
    )
    view = await books.view(invoice)
    assert view["payments"][0]["reason"] == "unmatched"  # type: ignore[index]
    assert "held" in view["exceptions"]  # type: ignore[operator]
    assert await totals(books, HELD) == Totals(credits_pending=10_000000)


async def test_f24_record__address_pays_itself__ignored_as_nothing(books: Books) -> None:
    invoice, address = await books.invoice()
    await books.record(books.sighting(address, 10_000000, sender=address))
    view = await books.view(invoice)
    assert view["payments"][0]["reason"] == "zero_value"  # type: ignore[index]
    assert view["status"] == "new"


async def test_record__not_our_address__left_alone(books: Books) -> None:
    recorded = await books.record(books.sighting(b"\x77" * 20, 5))  # type: ignore[arg-type]
    assert (recorded.strangers, recorded.credited) == (1, 0)


async def test_f01_rewind__unconfirmed__orphaned_then_credited_again(books: Books) -> None:
    invoice, address = await books.invoice()
    await books.advance(books.block(1))
    seen = books.sighting(address, 10_000000)
    await books.record(seen)
    await books.rewind_to(books.block(0))
    view = await books.view(invoice)
    assert (view["status"], view["payments"][0]["status"]) == ("new", "orphaned")  # type: ignore[index]
    assert await totals(books) == Totals()
    other = books.block(1, "b")
    await books.advance(other)
    back = replace(seen, block_hash=other.hash, log_index=4)
    assert (await books.record(back)).resumed == 1
    await books.confirm_all()
    view = await books.view(invoice)
    assert view["status"] == "paid"
    assert [p["log_index"] for p in view["payments"]] == [4]  # type: ignore[attr-defined]
    assert await totals(books) == Totals(credits_posted=10_000000)
    async with books.ledger.reading() as tx:
        assert await tx.conn.scalar(sa.select(sa.func.count()).select_from(sightings)) == 2


async def test_f01_rewind__back_to_the_first_branch__ledger_equals_chain(books: Books) -> None:
    _, address = await books.invoice()
    seen = books.sighting(address, 10_000000)
    for _ in range(3):
        await books.advance(books.block(1))
        await books.record(seen)
        await books.rewind_to(books.block(0))
        await books.advance(books.block(1, "b"))
        await books.rewind_to(books.block(0))
    await books.advance(books.block(1))
    await books.record(seen)
    assert await totals(books) == Totals(credits_pending=10_000000)


async def test_rewind__reincluded_with_another_amount__another_payment(books: Books) -> None:
    invoice, address = await books.invoice()
    await books.advance(books.block(1))
    seen = books.sighting(address, 10_000000)
    await books.record(seen)
    await books.rewind_to(books.block(0))
    await books.advance(books.block(1, "b"))
    recorded = await books.record(
        replace(seen, amount=7_000000, block_hash=books.block(1, "b").hash)
    )  # type: ignore[arg-type]
    assert (recorded.credited, recorded.resumed) == (1, 0)
    assert await totals(books) == Totals(credits_pending=7_000000)
    assert (await books.view(invoice))["status"] == "partially_paid"


async def test_rewind__confirmed__reversed_with_its_fee(books: Books) -> None:
    books.policy = replace(books.policy, fee_bps=100)
    invoice, address = await books.invoice()
    await books.advance(books.block(1))
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all()
    await books.rewind_to(books.block(0))
    view = await books.view(invoice)
    assert (view["status"], view["exceptions"]) == ("new", ["reversed"])
    after = await totals(books)
    assert balance(MERCHANT.kind, after) == 0
    fees = await totals(books, AccountRef(AccountKind.FEES, "anvil", "USDC"))
    assert balance(AccountKind.FEES, fees) == 0
    assert (await event_types(books))[-2:] == ["payment.reversed", "invoice.exception"]
    await assert_balanced(books)


async def test_rewind__money_already_reserved__becomes_a_debt(books: Books) -> None:
    from ledger.books import post

    _, address = await books.invoice()
    await books.advance(books.block(1))
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all()
    payouts = AccountRef(AccountKind.PAYOUTS, "anvil", "USDC", "mer_1")
    async with books.ledger.transaction() as tx:
        reserve = Transfer("po:reserve", MERCHANT, payouts, 8_000000, "payout", "po_1", "pending")
        await post(tx, [reserve])
    await books.rewind_to(books.block(0))
    debt = await totals(books, AccountRef(AccountKind.RECEIVABLE, "anvil", "USDC", "mer_1"))
    assert balance(AccountKind.RECEIVABLE, debt) == 8_000000
    deposits = await totals(books, AccountRef(AccountKind.DEPOSITS, "anvil", "USDC"))
    assert balance(AccountKind.DEPOSITS, deposits) == 0
    await assert_balanced(books)


async def test_rewind__below_the_final_block__refused(books: Books) -> None:
    from config.errors import ConflictError

    await books.advance(books.block(1), final=books.block(1))
    with pytest.raises(ConflictError, match="below the final block"):
        await books.rewind_to(books.block(0))


async def test_move__confirming_then_confirmed__one_event_for_the_money(books: Books) -> None:
    _, address = await books.invoice()
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all(PaymentStatus.CONFIRMING)
    await books.confirm_all(PaymentStatus.CONFIRMED)
    assert [e for e in await event_types(books) if e.startswith("payment")] == [
        "payment.detected",
        "payment.confirmed",
    ]


async def test_mark_confirming__only_what_was_detected_up_to_there(books: Books) -> None:
    for number in (1, 2, 3):
        _, address = await books.invoice()
        await books.record(books.sighting(address, 10_000000, block=books.block(number)))
    async with books.ledger.transaction() as tx:
        (oldest,) = await open_payments(tx, "anvil", 1)
        move = PaymentMove(oldest, PaymentStatus.CONFIRMED, final=True)
        await move_payments(tx, [move], books.policy, Touched())
        assert await mark_confirming(tx, "anvil", 2) == ["USDC"]
        assert await mark_confirming(tx, "anvil", 2) == []
    async with books.ledger.reading() as tx:
        query = sa.select(payments.c.status, payments.c.is_final).order_by(payments.c.block_number)
        found = [tuple(row) for row in await tx.conn.execute(query)]
    assert found == [("confirmed", True), ("confirming", False), ("detected", False)]
