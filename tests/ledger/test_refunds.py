"""Refunds never exceed what an invoice received or what is available; when they may leave."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.errors import ConflictError, InvalidInputError
from config.models import SettlementSettings
from config.units import Address
from ledger.approvals import decide, pending_approvals
from ledger.books import post, totals_of
from ledger.destinations import NewDestination, create_destination
from ledger.invoices import Touched, refresh_invoices
from ledger.limits import DAILY_LIMIT, PAYOUT_LIMIT, Limits, limits_of
from ledger.listing import PageQuery, list_events
from ledger.payment_moves import PaymentMove, move_payments
from ledger.payouts import PayoutMove, lock_payouts, move_payouts, queued_payouts
from ledger.postings import AccountKind, AccountRef, Transfer, available
from ledger.receivables import open_debts
from ledger.refunds import (
    COOLING_OFF,
    NEEDS_APPROVAL,
    NewRefund,
    RefundPolicy,
    cancel_refund,
    choose_place,
    create_refund,
    find_refund,
    list_refunds,
    refundable,
    release_cooled,
)
from ledger.schema import payments
from ledger.sql import as_row
from ledger.states import PaymentStatus, PayoutStatus
from tests.support.books import DAI, USDC, USDT, Books

PAYER_SELF = Address(b"\xaa" * 20)
MERCHANT = AccountRef(AccountKind.MERCHANT, "anvil", "USDC", "mer_1")
AT_ONCE = RefundPolicy(timedelta(0), approval=False, refused=())
COOLING = replace(AT_ONCE, cooling_off=timedelta(hours=24))
APPROVED = replace(COOLING, approval=True)


async def paid_invoice(books: Books, *tokens: tuple[bytes, int]) -> str:
    invoice, address = await books.invoice(10_000000)
    for token, units in tokens or ((USDC, 10_000000),):
        await books.record(books.sighting(address, units, token_address=Address(token)))
    await books.confirm_all()
    return invoice


async def refund(
    books: Books, invoice: str, policy: RefundPolicy = AT_ONCE, **fields: str
) -> dict[str, object]:
    address = Address(bytes.fromhex(fields.pop("to", PAYER_SELF.hex())))
    async with books.ledger.transaction() as tx:
        return await create_refund(tx, "mer_1", NewRefund(invoice, address, **fields), policy)


async def free(books: Books) -> int:
    async with books.ledger.reading() as tx:
        return available(AccountKind.MERCHANT, (await totals_of(tx, [MERCHANT]))[MERCHANT])


async def event_types(books: Books) -> list[str]:
    async with books.ledger.reading() as tx:
        found, _ = await list_events(tx, "mer_1", PageQuery(limit=100))
    return [event["type"] for event in reversed(found)]


async def test_refund__nothing_said__all_that_is_left_is_reserved_at_once(books: Books) -> None:
    invoice = await paid_invoice(books)
    made = await refund(books, invoice)
    assert (made["kind"], made["status"], made["amount"]) == ("refund", "queued", "10.00")
    assert (made["invoice"], made["chain"], made["token"]) == (invoice, "anvil", "USDC")
    assert await free(books) == 0
    assert (await event_types(books))[-1] == "payout.queued"


async def test_refund__in_parts__never_more_than_was_received(books: Books) -> None:
    invoice, other = await paid_invoice(books), await paid_invoice(books)
    await refund(books, invoice, amount="6")
    with pytest.raises(InvalidInputError, match=r"at most 4\.00 USDC"):
        await refund(books, invoice, amount="4.000001")
    await refund(books, invoice, amount="4")
    with pytest.raises(InvalidInputError, match="left to refund"):
        await refund(books, invoice)
    assert await free(books) == 10_000000, "the other invoice's money is not touched"
    await refund(books, other)


async def test_refund__second_one_while_the_first_is_not_committed__waits_and_is_refused(
    books: Books,
) -> None:
    invoice = await paid_invoice(books)
    await paid_invoice(books)  # what is available would allow both
    async with books.ledger.transaction() as tx:
        await create_refund(tx, "mer_1", NewRefund(invoice, PAYER_SELF), AT_ONCE)
        second = asyncio.create_task(refund(books, invoice))
        done, _ = await asyncio.wait({second}, timeout=0.3)
        assert not done, "nobody knows yet whether the first one stands"
    with pytest.raises(InvalidInputError, match="left to refund"):
        await second
    assert await free(books) == 10_000000


async def test_refunds__of_two_invoices_at_once__share_the_daily_limit(books: Books) -> None:
    first, other = await paid_invoice(books), await paid_invoice(books)
    policy = replace(AT_ONCE, limits=Limits(daily={("anvil", "USDC"): 10_000000}))
    async with books.ledger.transaction() as tx:
        await create_refund(tx, "mer_1", NewRefund(first, PAYER_SELF), policy)
        second = asyncio.create_task(refund(books, other, policy))
        await asyncio.wait({second}, timeout=0.2)
    made = await second
    assert (made["status"], made["reason"]) == ("on_hold", DAILY_LIMIT)


async def test_refund__money_is_promised_already__refused_and_nothing_is_left(
    books: Books,
) -> None:
    invoice = await paid_invoice(books)
    async with books.ledger.transaction() as tx:
        payouts = AccountRef(AccountKind.PAYOUTS, "anvil", "USDC", "mer_1")
        await post(tx, [Transfer("k", MERCHANT, payouts, 1, "payout", "x", "pending")])
    with pytest.raises(ConflictError):
        await refund(books, invoice)
    assert await free(books) == 9_999999
    async with books.ledger.reading() as tx:
        assert (await list_refunds(tx, "mer_1", PageQuery()))[0] == []


async def test_refund__merchant_owes__refused(books: Books) -> None:
    invoice = await paid_invoice(books)
    async with books.ledger.transaction() as tx:
        debt = AccountRef(AccountKind.RECEIVABLE, "anvil", "USDC", "mer_1")
        await post(tx, [Transfer("k", debt, MERCHANT, 5, "reversed", "x")])
    with pytest.raises(ConflictError, match="owes"):
        await refund(books, invoice)


async def test_refund__paid_in_two_tokens__one_must_be_named(books: Books) -> None:
    invoice = await paid_invoice(books, (USDC, 4_000000), (USDT, 6_000000))
    with pytest.raises(InvalidInputError, match="USDC on anvil, USDT on anvil"):
        await refund(books, invoice)
    made = await refund(books, invoice, token="USDT")
    assert (made["token"], made["amount"]) == ("USDT", "6.00")


async def test_refund__18_decimals__exact(books: Books) -> None:
    invoice = await paid_invoice(books, (DAI, 10 * 10**18 + 1))
    assert (await refund(books, invoice))["amount"] == "10.000000000000000001"


async def test_refund__unconfirmed_or_held_money__does_not_count(books: Books) -> None:
    invoice, address = await books.invoice(10_000000)
    await books.record(books.sighting(address, 10_000000))
    with pytest.raises(InvalidInputError, match="left to refund"):
        await refund(books, invoice)
    held, address = await books.invoice(10_000000, tokens=(("anvil", "USDT"),))
    await books.record(books.sighting(address, 10_000000))
    await books.confirm_all()
    with pytest.raises(InvalidInputError, match="left to refund"):
        await refund(books, held)


@pytest.mark.parametrize("address", [bytes(20), USDC, b"\xee" * 20])
async def test_refund__address_that_cannot_be_meant__refused(books: Books, address: bytes) -> None:
    invoice = await paid_invoice(books)
    policy = replace(AT_ONCE, refused={Address(b"\xee" * 20)})
    with pytest.raises(InvalidInputError) as caught:
        await refund(books, invoice, policy, to=address.hex())
    assert caught.value.where == "address"


async def test_refund__another_merchants_invoice__not_found(books: Books) -> None:
    await books.merchant("mer_2")
    invoice = await paid_invoice(books)
    async with books.ledger.transaction() as tx:
        with pytest.raises(InvalidInputError, match="no such invoice"):
            await create_refund(tx, "mer_2", NewRefund(invoice, PAYER_SELF), AT_ONCE)


async def test_refund__new_address__waits_for_its_cooling_off_time(books: Books) -> None:
    invoice = await paid_invoice(books)
    made = await refund(books, invoice, COOLING)
    assert (made["status"], made["reason"]) == ("pending_approval", COOLING_OFF)
    assert await free(books) == 0, "its money is reserved from the start"
    assert (await event_types(books))[-1] == "refund.created"
    async with books.ledger.transaction() as tx:
        assert await pending_approvals(tx, PageQuery()) == ([], None), "waits for time"
        assert await release_cooled(tx) == []
        with pytest.raises(ConflictError, match="cooling-off"):
            await decide(tx, str(made["id"]), approve=True, actor="approver")
    books.clock.advance(24 * 3600)
    async with books.ledger.transaction() as tx:
        assert [row["id"] for row in await release_cooled(tx)] == [made["id"]]
    async with books.ledger.transaction() as tx:
        assert await release_cooled(tx) == []
    assert (await event_types(books))[-1] == "payout.queued"


async def test_refund__over_a_limit__on_hold__also_once_it_has_cooled_off(books: Books) -> None:
    limits = limits_of(
        SettlementSettings(payout_limit={"USDC": "3"}, daily_limit={"USDC": "5"}),
        books.ledger.catalogue,
    )
    invoice = await paid_invoice(books)
    strict, cooling = replace(AT_ONCE, limits=limits), replace(COOLING, limits=limits)
    large = await refund(books, invoice, strict, amount="3.000001")
    assert (large["status"], large["reason"]) == ("on_hold", PAYOUT_LIMIT)
    assert (await refund(books, invoice, strict, amount="3"))["status"] == "queued"
    day = await refund(books, invoice, strict, amount="2.000001")
    assert (day["status"], day["reason"]) == ("on_hold", DAILY_LIMIT)
    cools = await refund(books, invoice, cooling, amount="1.9")
    assert cools["status"] == "pending_approval"
    books.clock.advance(24 * 3600)
    tighter = replace(limits, payout={("anvil", "USDC"): 1_899999})
    async with books.ledger.transaction() as tx:
        await release_cooled(tx, tighter)
        view = await find_refund(tx, "mer_1", str(cools["id"]))
    assert (view["status"], view["reason"]) == ("on_hold", PAYOUT_LIMIT)


async def test_refund__cooled_and_exactly_at_the_daily_limit__not_counted_twice(
    books: Books,
) -> None:
    limits = Limits(daily={("anvil", "USDC"): 2_000000})
    invoice = await paid_invoice(books)
    policy = replace(AT_ONCE, cooling_off=timedelta(seconds=60), limits=limits)
    made = await refund(books, invoice, policy, amount="2")
    books.clock.advance(60)
    async with books.ledger.transaction() as tx:
        await release_cooled(tx, limits)
        assert (await find_refund(tx, "mer_1", str(made["id"])))["status"] == "queued"


async def test_refund__cooled_since_yesterday__counts_for_the_day_on_which_it_was_promised(
    books: Books,
) -> None:
    """It had its room under that day's limit: today's is for what is promised today."""
    limits = Limits(
        payout={("anvil", "USDC"): 4_000000},
        merchant={("anvil", "USDC"): 5_000000},
        daily={("anvil", "USDC"): 5_000000},
    )
    invoice = await paid_invoice(books)
    made = await refund(books, invoice, replace(COOLING, limits=limits), amount="4")
    books.clock.advance(60)
    over = await refund(books, invoice, replace(COOLING, limits=limits), amount="2")
    books.clock.advance(24 * 3600 - 60)
    today = replace(AT_ONCE, limits=limits)
    assert (await refund(books, invoice, today, amount="3"))["status"] == "queued"
    for refunded, status in ((made, "queued"), (over, "on_hold")):
        async with books.ledger.transaction() as tx:
            await release_cooled(tx, limits)
            assert (await find_refund(tx, "mer_1", str(refunded["id"])))["status"] == status
        books.clock.advance(60)
    assert (await refund(books, invoice, today, amount="1"))["status"] == "queued"


async def test_refund__over_the_daily_limit_while_it_cools_off__takes_no_room_from_others(
    books: Books,
) -> None:
    """It will be on hold: a merchant must not stop all payouts of a day by asking for it."""
    limits = Limits(daily={("anvil", "USDC"): 1_500000})
    invoice = await paid_invoice(books)
    at_once, cooling = replace(AT_ONCE, limits=limits), replace(COOLING, limits=limits)
    first = await refund(books, invoice, at_once, amount="0.6")
    over = await refund(books, invoice, cooling, amount="1")
    assert (over["status"], over["reason"]) == (
        "pending_approval",
        f"{COOLING_OFF}, {DAILY_LIMIT}",
    )
    assert (await refund(books, invoice, at_once, amount="0.9"))["status"] == "queued"
    async with books.ledger.transaction() as tx:
        await cancel_refund(tx, "mer_1", str(first["id"]))
    books.clock.advance(24 * 3600)
    async with books.ledger.transaction() as tx:
        await release_cooled(tx, limits)
        view = await find_refund(tx, "mer_1", str(over["id"]))
    assert (view["status"], view["reason"]) == ("on_hold", DAILY_LIMIT)


async def test_refund__to_an_active_destination__does_not_wait(books: Books) -> None:
    invoice = await paid_invoice(books)
    async with books.ledger.transaction() as tx:
        new = NewDestination("anvil", None, PAYER_SELF)
        await create_destination(tx, "mer_1", new, cooling_off=timedelta(hours=1), refused=())
    assert (await refund(books, invoice, COOLING, amount="1"))["status"] == "pending_approval"
    books.clock.advance(3600)
    assert (await refund(books, invoice, COOLING, amount="1"))["status"] == "queued"


@pytest.mark.parametrize(("approve", "status"), [(True, "queued"), (False, "canceled")])
async def test_refund__approval_asked_for__a_second_person_decides_once(
    books: Books, approve: bool, status: str
) -> None:
    invoice = await paid_invoice(books)
    made = await refund(books, invoice, APPROVED)
    assert (made["status"], made["reason"]) == ("pending_approval", NEEDS_APPROVAL)
    books.clock.advance(48 * 3600)
    async with books.ledger.transaction() as tx:
        assert await release_cooled(tx) == [], "time alone lets nothing go"
        ((waiting,), _) = await pending_approvals(tx, PageQuery())
        assert (waiting["kind"], waiting["id"]) == ("refund", made["id"])
        decided = await decide(tx, str(made["id"]), approve=approve, actor="approver")
        assert decided["status"] == status
        assert await pending_approvals(tx, PageQuery()) == ([], None)
    assert await free(books) == (0 if approve else 10_000000)
    async with books.ledger.transaction() as tx:
        with pytest.raises(ConflictError, match="does not wait"):
            await decide(tx, str(made["id"]), approve=not approve, actor="approver")


async def test_refund__over_a_limit_and_waits_for_an_approval__the_approver_is_told(
    books: Books,
) -> None:
    """An approval lets it go whatever the limit is: nobody looks at that again."""
    policy = replace(APPROVED, limits=Limits(payout={("anvil", "USDC"): 3_000000}))
    made = await refund(books, await paid_invoice(books), policy, amount="3.000001")
    assert made["status"] == "pending_approval"
    assert made["reason"] == f"{NEEDS_APPROVAL}, {PAYOUT_LIMIT}"


async def test_approvals__more_wait_than_a_page_holds__all_of_them_oldest_first(
    books: Books,
) -> None:
    """One merchant who lets very many wait must not hide another's."""
    invoice = await paid_invoice(books)
    made = []
    for number in range(1, 8):
        books.clock.advance(1)
        if number % 3 == 0:
            made.append((await refund(books, invoice, APPROVED, amount="1"))["id"])
            continue
        async with books.ledger.transaction() as tx:
            new = NewDestination("anvil", None, Address(bytes([number]) * 20))
            asked = await create_destination(
                tx, "mer_1", new, cooling_off=timedelta(0), refused=(), approval=True
            )
        made.append(asked["id"])
    seen, cursor = [], None
    async with books.ledger.reading() as tx:
        for _ in range(4):
            page, cursor = await pending_approvals(tx, PageQuery(limit=2, cursor=cursor))
            seen += [item["id"] for item in page]
    assert (seen, cursor) == (made, None)


async def test_destination__approval_asked_for__only_approved_ones_are_active(
    books: Books,
) -> None:
    async with books.ledger.transaction() as tx:
        made = [
            await create_destination(
                tx, "mer_1", NewDestination("anvil", None, Address(bytes([n]) * 20)),
                cooling_off=timedelta(hours=1), refused=(), approval=True,
            )
            for n in (1, 2)
        ]  # fmt: skip
        assert {d["status"] for d in made} == {"pending_approval"}
        kept = await decide(tx, made[0]["id"], approve=True, actor="approver")
        dropped = await decide(tx, made[1]["id"], approve=False, actor="approver")
    assert (kept["status"], dropped["status"]) == ("active", "revoked")
    assert (await event_types(books))[-2:] == ["destination.approved", "destination.revoked"]


async def test_refund__canceled__money_is_back_and_can_be_refunded_again(books: Books) -> None:
    invoice = await paid_invoice(books)
    made = await refund(books, invoice)
    async with books.ledger.transaction() as tx:
        assert (await cancel_refund(tx, "mer_1", str(made["id"])))["status"] == "canceled"
    async with books.ledger.transaction() as tx:
        assert (await cancel_refund(tx, "mer_1", str(made["id"])))["status"] == "canceled"
    assert await free(books) == 10_000000
    await refund(books, invoice)


async def test_refund__on_its_way__cannot_be_taken_back(books: Books) -> None:
    invoice = await paid_invoice(books)
    made = await refund(books, invoice)
    async with books.ledger.transaction() as tx:
        (row,) = await lock_payouts(tx, [str(made["id"])])
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.ON_HOLD, "blacklisted")])
        (row,) = await lock_payouts(tx, [str(made["id"])])
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.FAILED, "given up")])
    async with books.ledger.transaction() as tx:
        with pytest.raises(ConflictError, match="failed"):
            await cancel_refund(tx, "mer_1", str(made["id"]))
    assert (await event_types(books))[-1] == "refund.failed"


async def test_queued_payouts__many_of_one_token__do_not_hide_another(books: Books) -> None:
    invoice = await paid_invoice(books, (USDC, 4_000000), (USDT, 6_000000))
    for _ in range(3):
        await refund(books, invoice, token="USDC", amount="1")
    last = await refund(books, invoice, token="USDT")
    async with books.ledger.reading() as tx:
        rows = await queued_payouts(tx, "anvil", 2)
        assert sorted(row["token"] for row in rows) == ["USDC", "USDC", "USDT"]
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
        assert [r["id"] for r in await queued_payouts(tx, "anvil", 2, without={"USDC"})] == [
            last["id"]
        ]


def test_refundable__more_refunded_than_received__nothing_is_left() -> None:
    # A payment of a refunded invoice was taken back by the chain.
    assert refundable({("a", "T"): 5, ("b", "T"): 5}, {("a", "T"): 7}) == {("b", "T"): 5}


@pytest.mark.parametrize(
    ("chain", "token", "expected"),
    [("a", None, ("a", "T")), (None, "U", ("b", "U")), ("b", "U", ("b", "U"))],
)
def test_choose_place__as_much_as_is_needed(
    chain: str | None, token: str | None, expected: tuple[str, str]
) -> None:
    assert choose_place([("a", "T"), ("b", "U")], chain, token) == expected


async def take_back(books: Books, invoice: str) -> None:
    async with books.ledger.transaction() as tx:
        query = sa.select(payments).where(payments.c.invoice_id == invoice)
        rows = [as_row(row) for row in await tx.conn.execute(query)]
        touched = Touched()
        moves = [PaymentMove(row, PaymentStatus.REVERSED) for row in rows]
        await move_payments(tx, moves, books.policy, touched)
        await refresh_invoices(tx, touched.ids, books.tolerance)


async def test_refund__waits_while_the_chain_takes_its_payment_back__canceled(
    books: Books,
) -> None:
    """The merchant's other income would pay for it: nothing else stops it."""
    invoice, other = await paid_invoice(books), await paid_invoice(books)
    lost, stays = await refund(books, invoice), await refund(books, other, amount="3")
    await take_back(books, invoice)
    async with books.ledger.reading() as tx:
        found = [await find_refund(tx, "mer_1", str(made["id"])) for made in (lost, stays)]
        assert await open_debts(tx) == []
    assert [one["status"] for one in found] == ["canceled", "queued"]
    assert await free(books) == 7_000000
