"""Runs over the books: due dates, requests, what is held back."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.catalogue import Catalogue
from config.chains import ChainSettings
from config.errors import NotFoundError
from config.models import Settings, SettlementSettings
from config.units import Address
from ledger.approvals import decide
from ledger.books import post, totals_of
from ledger.held_payouts import held_payouts, held_tokens
from ledger.holds import open_holds, release_hold
from ledger.leases import acquire, ready_names, set_ready
from ledger.limits import DAILY_LIMIT, MERCHANT_LIMIT, PAYOUT_LIMIT, TRANSACTION_LIMIT
from ledger.listing import PageQuery
from ledger.merchants import PayoutTerms, change_terms
from ledger.payouts import NewPayout, PayoutMove, create_payouts, lock_payouts, move_payouts
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.refunds import NewRefund, RefundPolicy, create_refund
from ledger.run_views import find_run, list_runs
from ledger.runs import get_run, run_payouts, set_next_settlement
from ledger.schema import merchants, payments, payout_destinations, payouts
from ledger.states import PayoutStatus
from ledger.store import Tx
from settlement.leading import lease_name
from settlement.planning import (
    BELOW_MINIMUM,
    COOLING_OFF,
    LARGE,
    NO_DESTINATION,
    REFUSED,
)
from settlement.runs import PayoutRuns, request_run
from tests.support.books import USDC, USDT, Books, token

DESTINATION = Address(b"\xdd" * 20)
CHAIN = {
    "name": "anvil",
    "chain_id": 31337,
    "rpc_urls": ["http://127.0.0.1:1"],
    "finality": {"confirmations": 3},
}


def runs(books: Books, security: object = None, **settlement: object) -> PayoutRuns:
    settings = Settings.model_validate({"settlement": settlement, "security": security or {}})
    return PayoutRuns(books.ledger, settings=settings, refused=[Address(b"\xee" * 20)], gated=False)


async def destination(
    books: Books, address: Address = DESTINATION, cooling: int = 0, merchant: str = "mer_1"
) -> None:
    async with books.ledger.transaction() as tx:
        await tx.conn.execute(
            payout_destinations.insert().values(
                id=tx.new_id("pd"),
                merchant_id=merchant,
                chain="anvil",
                address=address,
                status="cooling_off" if cooling else "active",
                created_at=tx.now,
                active_at=tx.now + timedelta(seconds=cooling),
            )
        )


async def paid(books: Books, amount: int = 5_000000, merchant: str = "mer_1") -> None:
    _, address = await books.invoice(amount, merchant_id=merchant)
    await books.record(books.sighting(address, amount))
    await books.confirm_all()


async def made(books: Books) -> list[sa.Row[*tuple[object, ...]]]:
    async with books.ledger.reading() as tx:
        return list(await tx.conn.execute(payouts.select().order_by(payouts.c.id)))


async def ask(books: Books, planner: PayoutRuns, merchant: str | None = "mer_1") -> str:
    async with books.ledger.transaction() as tx:
        run_id = await request_run(tx, merchant, "command")
    await planner.tick()
    return run_id


async def test_requested_run__everything_available_is_promised_and_linked(books: Books) -> None:
    await destination(books)
    await paid(books)
    await paid(books, 3_000000)
    run_id = await ask(books, runs(books))
    (payout,) = await made(books)
    assert (payout.amount, payout.status, payout.address) == (8_000000, "queued", DESTINATION)
    async with books.ledger.reading() as tx:
        linked = (await tx.conn.execute(sa.select(payments.c.payout_id))).scalars()
        assert set(linked) == {payout.id}
        run = await get_run(tx, run_id)
        account = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
        totals = (await totals_of(tx, [account]))[account]
    assert run is not None
    assert run["status"] == "planned"
    assert run["plan"]["payouts"][0]["amount"] == "8.00"
    assert totals.debits_pending == 8_000000


async def test_run_twice__promises_once(books: Books) -> None:
    await destination(books)
    await paid(books)
    planner = runs(books)
    await ask(books, planner)
    await ask(books, planner)
    assert len(await made(books)) == 1


@pytest.mark.parametrize(
    ("address", "cooling", "amount", "reason"),
    [
        (None, 0, 5_000000, NO_DESTINATION),
        (DESTINATION, 60, 5_000000, COOLING_OFF),
        (Address(bytes(20)), 0, 5_000000, REFUSED),
        (USDC, 0, 5_000000, REFUSED),
        (Address(b"\xee" * 20), 0, 5_000000, REFUSED),
        (DESTINATION, 0, 999_999, BELOW_MINIMUM),
    ],
)
async def test_preview__obstacle__is_named(
    books: Books, address: Address | None, cooling: int, amount: int, reason: str
) -> None:
    if address is not None:
        await destination(books, address, cooling)
    await paid(books, amount)
    plan = await runs(books).preview()
    assert plan.payouts == ()
    assert [(h.reason, h.amount) for h in plan.held_back] == [(reason, amount)]
    await ask(books, runs(books))
    assert await made(books) == []


async def test_destination_is_our_deposit_address__refused(books: Books) -> None:
    _, own = await books.invoice()
    await destination(books, own)
    await paid(books)
    plan = await runs(books).preview("mer_1")
    assert [h.reason for h in plan.held_back] == [REFUSED]


async def test_preview__unknown_merchant__not_found(books: Books) -> None:
    with pytest.raises(NotFoundError):
        await runs(books).preview("mer_nobody")


async def test_daily_limit__what_goes_over_it_starts_on_hold(books: Books) -> None:
    for merchant in ("mer_1", "mer_2"):
        if merchant != "mer_1":
            await books.merchant(merchant)
        await destination(books, merchant=merchant)
        await paid(books, 6_000000, merchant)
    await ask(books, runs(books, daily_limit={"USDC": "10"}), None)
    first, second = await made(books)
    assert (first.status, second.status) == ("queued", "on_hold")
    assert second.reason == DAILY_LIMIT


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("payout_limit", PAYOUT_LIMIT),
        ("transaction_limit", TRANSACTION_LIMIT),
        ("merchant_daily_limit", MERCHANT_LIMIT),
        ("daily_limit", DAILY_LIMIT),
    ],
)
async def test_limit__exactly_it_is_paid__one_unit_more_waits_until_released(
    books: Books, limit: str, reason: str
) -> None:
    await destination(books)
    await paid(books, 5_000001)
    await ask(books, runs(books, **{limit: {"USDC": "5"}}))
    (payout,) = await made(books)
    assert (payout.status, payout.reason) == ("on_hold", reason)
    async with books.ledger.transaction() as tx:
        (hold,) = await open_holds(tx)
        assert (hold.object_id, hold.reason) == (payout.id, reason)
        await release_hold(tx, hold.id)
    (payout,) = await made(books)
    assert payout.status == "queued"


async def test_limits__exactly_reached__queued(books: Books) -> None:
    await destination(books)
    await paid(books)
    limit = {"USDC": "5"}
    planner = runs(
        books,
        payout_limit=limit,
        transaction_limit=limit,
        merchant_daily_limit=limit,
        daily_limit=limit,
    )
    await ask(books, planner)
    assert [p.status for p in await made(books)] == ["queued"]


async def test_merchant_limit__counts_one_merchants_day__not_the_others_nor_yesterday(
    books: Books,
) -> None:
    await books.merchant("mer_2")
    planner = runs(books, merchant_daily_limit={"USDC": "10"})
    for merchant in ("mer_1", "mer_2"):
        await destination(books, merchant=merchant)
        await paid(books, 6_000000, merchant)
    await ask(books, planner, None)
    books.clock.advance(1)
    await paid(books, 6_000000)
    await ask(books, planner)
    assert [p.status for p in await made(books)] == ["queued", "queued", "on_hold"]
    books.clock.advance(86_400)
    await paid(books, 6_000000)
    await ask(books, planner)
    assert [p.status for p in await made(books)][3] == "queued"


async def test_terms__young_payments_and_reserve_stay__and_are_paid_when_their_time_has_come(
    books: Books,
) -> None:
    await destination(books)
    planner = runs(books, delay="1d", reserve_bps=1_000, reserve_for="3d")
    await paid(books, 10_000000)
    await ask(books, planner)
    assert await made(books) == [], "younger than a day"
    books.clock.advance(86_400)
    await paid(books, 5_000000)
    await ask(books, planner)
    (first,) = await made(books)
    assert first.amount == 9_000000, "all but a tenth, and nothing of the young one"
    async with books.ledger.reading() as tx:
        linked = (
            await tx.conn.execute(sa.select(payments.c.payout_id).order_by(payments.c.id))
        ).scalars()
        assert list(linked) == [first.id, None], "the young payment is still due"
    books.clock.advance(3 * 86_400)
    await ask(books, planner)
    _, second = await made(books)
    assert second.amount == 6_000000, "the reserve and the second payment, nothing left"


@pytest.mark.parametrize(("refunded", "young"), [("5", 0), ("2", 3_000000)])
async def test_terms__young_payment_refunded__keeps_nothing_of_older_income_back(
    books: Books, refunded: str, young: int
) -> None:
    await destination(books)
    await paid(books, 10_000000)
    books.clock.advance(3 * 86_400)
    invoice, address = await books.invoice(5_000000)
    await books.record(books.sighting(address, 5_000000))
    await books.confirm_all()
    async with books.ledger.transaction() as tx:
        policy = RefundPolicy(timedelta(0), approval=False, refused=())
        await create_refund(tx, "mer_1", NewRefund(invoice, DESTINATION, refunded), policy)
    plan = await runs(books, delay="1d", reserve_bps=1_000, reserve_for="3d").preview("mer_1")
    assert [p.amount for p in plan.payouts] == [10_000000]
    assert sum(h.amount for h in plan.held_back) == young


async def test_own_terms__go_before_the_configured_ones(books: Books) -> None:
    await destination(books)
    await paid(books)
    async with books.ledger.transaction() as tx:
        await change_terms(tx, "mer_1", PayoutTerms(delay=timedelta(0), minimum_payout="2"))
    plan = await runs(books, delay="1d").preview("mer_1")
    assert [p.amount for p in plan.payouts] == [5_000000]


async def test_minimum__finer_than_a_token__met_by_the_next_unit_and_stops_nobody(
    books: Books,
) -> None:
    """One text is the minimum in tokens of any number of decimals."""
    await destination(books)
    await paid(books)
    async with books.ledger.transaction() as tx:
        await change_terms(tx, "mer_1", PayoutTerms(minimum_payout="0.001"))
    chain = {**CHAIN, "tokens": [token("USDC", USDC, 2)]}
    books.ledger.catalogue = Catalogue([ChainSettings.model_validate(chain)])
    plan = await runs(books).preview("mer_1")
    assert [p.amount for p in plan.payouts] == [5_000000]


async def test_large_payout__waits_for_the_approver_and_is_due_again_when_rejected(
    books: Books,
) -> None:
    await destination(books)
    await paid(books)
    planner = runs(books, security={"approve_payouts_above": {"USDC": "4"}})
    await ask(books, planner)
    (first,) = await made(books)
    assert (first.status, first.reason) == ("pending_approval", LARGE)
    async with books.ledger.transaction() as tx:
        await decide(tx, first.id, approve=False, actor="approver")
    await ask(books, planner)
    (second,) = [p for p in await made(books) if p.id != first.id]
    async with books.ledger.transaction() as tx:
        decided = await decide(tx, second.id, approve=True, actor="approver")
    assert (decided["status"], decided["reason"], decided["amount"]) == ("queued", None, "5.00")


async def test_large_payout__over_a_limit_too__no_operator_s_release_goes_past_the_approver(
    books: Books,
) -> None:
    await destination(books)
    await paid(books)
    security = {"approve_payouts_above": {"USDC": "4"}}
    planner = runs(books, security=security, payout_limit={"USDC": "3"})
    await ask(books, planner)
    (payout,) = await made(books)
    assert (payout.status, payout.reason) == ("pending_approval", f"{LARGE}, {PAYOUT_LIMIT}")
    async with books.ledger.transaction() as tx:
        assert await open_holds(tx) == []
        decided = await decide(tx, payout.id, approve=True, actor="approver")
    assert decided["status"] == "queued"


async def test_large_payout__over_the_daily_limit_too__others_of_that_day_are_paid(
    books: Books,
) -> None:
    security = {"approve_payouts_above": {"USDC": "4"}}
    planner = runs(books, security=security, daily_limit={"USDC": "4.5"})
    for merchant, units in (("mer_1", 5_000000), ("mer_2", 2_000000), ("mer_3", 2_500000)):
        if merchant != "mer_1":
            await books.merchant(merchant)
        await destination(books, merchant=merchant)
        await paid(books, units, merchant)
    for asked in ("mer_1", "mer_2", None):
        await ask(books, planner, asked)
        books.clock.advance(1)
    large, *others = await made(books)
    assert (large.status, large.reason) == ("pending_approval", f"{LARGE}, {DAILY_LIMIT}")
    assert [p.status for p in others] == ["queued", "queued"]


async def test_held_payouts__many_of_one_token__hide_none_of_another(books: Books) -> None:
    await destination(books)
    for address in (USDC, USDT):
        _, to = await books.invoice(5_000000)
        await books.record(books.sighting(to, 5_000000, token_address=address))
        await books.confirm_all()
    await ask(books, runs(books))
    ids = [payout.id for payout in await made(books)]
    assert len(ids) == 2
    async with books.ledger.transaction() as tx:
        rows = await lock_payouts(tx, ids)
        await move_payouts(tx, [PayoutMove(r, PayoutStatus.ON_HOLD, "paused") for r in rows])
    async with books.ledger.transaction() as tx:
        assert await held_tokens(tx, "anvil", "paused") == ["USDC", "USDT"]
        for symbol in ("USDC", "USDT"):
            (row,) = await held_payouts(tx, "anvil", symbol, "paused", limit=1)
            assert row["token"] == symbol


async def test_cooled_refund__queued_by_the_next_look(books: Books) -> None:
    await paid(books)
    async with books.ledger.transaction() as tx:
        invoice = await tx.conn.scalar(sa.select(payments.c.invoice_id))
        policy = RefundPolicy(timedelta(hours=1), approval=False, refused=())
        await create_refund(tx, "mer_1", NewRefund(invoice, DESTINATION), policy)
    planner = runs(books)
    await planner.tick()
    assert [p.status for p in await made(books)] == ["pending_approval"]
    books.clock.advance(3600)
    await planner.tick()
    assert [p.status for p in await made(books)] == ["queued"]


async def test_f13_run_of_everybody__killed_between_pages__goes_on_behind_the_last(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes after a crash has nothing but the database, like the new planners here."""
    monkeypatch.setattr("settlement.runs._AT_ONCE", 2)
    names = [f"mer_{n}" for n in range(1, 6)]
    for name in names[1:]:
        async with books.ledger.transaction() as tx:
            await tx.conn.execute(merchants.insert().values(
                id=name, name=name, created_at=tx.now, next_settlement_at=tx.now + timedelta(9)
            ))  # fmt: skip
    for name in names[:4]:
        await destination(books, merchant=name)
    for name in names:
        await paid(books, merchant=name)
    async with books.ledger.transaction() as tx:
        run_id = await request_run(tx, None, "command")
    sizes = []

    async def dies(tx: Tx, new: Sequence[NewPayout]) -> list[str]:
        await create_payouts(tx, new)
        raise RuntimeError("killed")

    for more in (True, True, False):
        with monkeypatch.context() as crash, pytest.raises(RuntimeError):
            crash.setattr("settlement.runs.create_payouts", dies)
            await runs(books).tick()
        before = len(await made(books))
        assert await runs(books).tick() is more
        sizes.append(len(await made(books)) - before)
    await paid(books, merchant="mer_1")
    assert await runs(books).tick() is False
    assert sizes == [2, 2, 0], "no more merchants in hand than fit into a page"
    promised = sorted((p.merchant_id, p.amount) for p in await made(books))
    assert promised == [(name, 5_000000) for name in names[:4]]
    async with books.ledger.reading() as tx:
        found = await find_run(tx, run_id)
        (listed,), _ = await list_runs(tx, PageQuery(limit=5))
    assert found["status"] == "planned"
    assert found["plan"] == listed["plan"]
    assert [p["merchant"] for p in found["plan"]["payouts"]] == names[:4]
    assert {p["payout"] for p in found["plan"]["payouts"]} == {p["id"] for p in found["payouts"]}
    assert [h["merchant"] for h in found["plan"]["held_back"]] == ["mer_5"]


async def test_f13_run_of_everybody__kill_9_in_its_second_page__the_next_process_ends_it(
    books: Books, migrated_url: str
) -> None:
    """The second page's promises are made and not committed when the process is gone."""
    names = [f"mer_{n}" for n in range(1, 6)]
    for name in names:
        if name != "mer_1":
            await books.merchant(name)
        await destination(books, merchant=name)
        await paid(books, merchant=name)
    async with books.ledger.transaction() as tx:
        run_id = await request_run(tx, None, "command")
    planner = [sys.executable, "-m", "tests.support.planner", migrated_url, "2"]

    killed = await asyncio.create_subprocess_exec(*planner, "2")
    assert await killed.wait() == -signal.SIGKILL
    assert sorted(p.merchant_id for p in await made(books)) == names[:2]
    async with books.ledger.reading() as tx:
        half = await find_run(tx, run_id)
    assert (half["status"], [p["merchant"] for p in half["plan"]["payouts"]]) == (
        "requested", names[:2],
    )  # fmt: skip

    other = await asyncio.create_subprocess_exec(*planner, "0")
    assert await other.wait() == 0
    promised = sorted((p.merchant_id, p.amount, p.run_id) for p in await made(books))
    assert promised == [(name, 5_000000, run_id) for name in names]
    async with books.ledger.reading() as tx:
        whole = await find_run(tx, run_id)
    assert whole["status"] == "planned"
    assert [p["merchant"] for p in whole["plan"]["payouts"]] == names


async def test_run_s_payouts__found_through_their_index(books: Books) -> None:
    async with books.ledger.reading() as tx:
        await tx.driver.prefer_indexes()
        explain = "EXPLAIN QUERY PLAN" if tx.dialect == "sqlite" else "EXPLAIN"
        statements: list[str] = []
        listened = (books.ledger.engine.sync_engine, "before_cursor_execute")

        def note(_c: object, _cursor: object, sql: str, *_rest: object) -> None:
            statements.append(sql)

        sa.event.listen(*listened, note)
        await run_payouts(tx, "run_1")
        sa.event.remove(*listened, note)
        (asked,) = statements
        by_hand = re.sub(r"\?|\$1::\w+", "'run_1'", asked)
        lines = await tx.conn.exec_driver_sql(f"{explain} {by_hand}")
        plan = " ".join(str(part) for line in lines for part in line)
    assert "ix_payouts_run_id" in plan
    assert "SORT" not in plan.upper().replace("SORT KEY", ""), "they come in order"


async def test_runs_asked_for__as_many_merchants_as_a_page__and_then_the_end(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.runs._AT_ONCE", 1)
    await destination(books)
    await paid(books)
    async with books.ledger.transaction() as tx:
        first = await request_run(tx, None, "command")
        second = await request_run(tx, "mer_1", "api")
    ticks = [await runs(books).tick() for _ in range(4)]
    assert ticks == [True, True, True, False], "a page, its run's end, the other run, nothing"
    async with books.ledger.reading() as tx:
        views = [await find_run(tx, run_id) for run_id in (first, second)]
    assert [len(view["payouts"]) for view in views] == [1, 0]
    assert all(view["status"] in {"planned", "done"} for view in views)


async def test_schedule__configured_anew__merchants_that_follow_it_do_not_wait_for_the_old_date(
    books: Books,
) -> None:
    await destination(books)
    await paid(books)
    await runs(books, schedule="every 30d").tick()
    planner = runs(books, schedule="every 10s")
    await planner.tick()
    books.clock.advance(10)
    await planner.tick()
    assert len(await made(books)) == 1


async def test_schedule__of_a_merchant_s_own__stored_date_later_than_it_is_read_now__brought_forward(
    books: Books,
) -> None:
    async with books.ledger.transaction() as tx:
        await change_terms(tx, "mer_1", PayoutTerms(schedule="0 2 13 * 5"))
        await set_next_settlement(tx, [("mer_1", tx.now + timedelta(days=200))])
    await runs(books, schedule="every 90d").tick()
    async with books.ledger.reading() as tx:
        due = await tx.conn.scalar(sa.select(merchants.c.next_settlement_at))
        assert due is not None
        assert due - tx.now <= timedelta(days=7), "a Friday, if not a 13th"


async def test_schedule__due_time_passed_several_times__one_run_then_the_next(
    books: Books,
) -> None:
    await destination(books)
    planner = runs(books, schedule="every 10s")
    await planner.tick()
    await paid(books)
    await planner.tick()
    assert await made(books) == [], "not due yet"
    books.clock.advance(35)
    await planner.tick()
    assert len(await made(books)) == 1
    async with books.ledger.reading() as tx:
        due = await tx.conn.scalar(sa.select(merchants.c.next_settlement_at))
    assert books.clock.now() < due <= books.clock.now() + timedelta(seconds=10)


async def test_canceled_payout__money_and_payments_are_due_again(books: Books) -> None:
    await destination(books)
    await paid(books)
    planner = runs(books)
    await ask(books, planner)
    (payout,) = await made(books)
    async with books.ledger.transaction() as tx:
        rows = await lock_payouts(tx, [payout.id])
        await move_payouts(tx, [PayoutMove(rows[0], PayoutStatus.CANCELED)])
        await set_next_settlement(tx, [])
    await ask(books, planner)
    (again,) = [row for row in await made(books) if row.id != payout.id]
    assert (again.status, again.amount) == ("queued", 5_000000)


async def test_f20_books_not_compared_with_the_chain__nothing_is_promised_until_they_are(
    books: Books,
) -> None:
    await destination(books)
    await paid(books)
    settings = Settings(settlement=SettlementSettings())
    planner = PayoutRuns(books.ledger, settings=settings, refused=[])
    async with books.ledger.transaction() as tx:
        lease = await acquire(tx, lease_name("anvil"), "leader")
        await set_next_settlement(tx, [("mer_1", tx.now)])
    assert lease is not None
    await planner.tick()
    assert await made(books) == []
    books.clock.advance(6)
    async with books.ledger.transaction() as tx:
        await set_ready(tx, lease)
    await planner.tick()
    assert len(await made(books)) == 1


async def test_f20_one_chain_not_compared__the_others_are_not_paid_off_schedule(
    books: Books,
) -> None:
    await destination(books)
    await paid(books)
    settings = Settings(settlement=SettlementSettings(schedule="every 30s"))
    planner = PayoutRuns(books.ledger, settings=settings, refused=[])
    await planner.tick()
    async with books.ledger.transaction() as tx:
        lease = await acquire(tx, lease_name("anvil"), "leader")
        assert lease is not None
        await set_ready(tx, lease)
        other = AccountRef(AccountKind.MERCHANT, "other", "USDC", "mer_1")
        deposits = AccountRef(AccountKind.DEPOSITS, "other", "USDC")
        await post(tx, [Transfer("k", deposits, other, 7, "payment", "x")])
        await set_next_settlement(tx, [("mer_1", tx.now)])
    await planner.tick()
    assert len(await made(books)) == 1
    for seconds, payouts_made in ((6, 1), (24, 2)):
        await paid(books)
        books.clock.advance(seconds)
        async with books.ledger.transaction() as tx:
            lease = await acquire(tx, lease_name("anvil"), "leader")
            assert lease is not None
            await set_ready(tx, lease)
        await planner.tick()
        assert len(await made(books)) == payouts_made


async def test_f20_ready_leader_of_another_time__the_next_one_begins_as_not_ready(
    books: Books,
) -> None:
    name = lease_name("anvil")
    async with books.ledger.transaction() as tx:
        first = await acquire(tx, name, "first")
        assert first is not None
        await set_ready(tx, first)
        assert await ready_names(tx, [name]) == {name}
    books.clock.advance(11)
    async with books.ledger.transaction() as tx:
        assert await ready_names(tx, [name]) == set(), "expired"
        assert await acquire(tx, name, "second") is not None
        assert await ready_names(tx, [name]) == set()
