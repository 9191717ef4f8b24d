"""Payments, payouts, balances, ledger entries, events: what a merchant reads."""

from __future__ import annotations

from typing import Final

from config.errors import NotFoundError
from gateway import answers
from gateway.cursors import number_of
from gateway.operation import Call, JsonObject, Operation
from gateway.requests import EventPage, Page, PaymentPage, PayoutPage
from ledger import listing


async def list_payments(call: Call) -> JsonObject:
    """Every sighting that has to do with one's invoices."""
    page = call.asked(PaymentPage).asked()
    async with call.deps.ledger.reading() as tx:
        data, cursor = await listing.list_payments(tx, call.merchant_id, page)
    return {"data": data, "next_cursor": cursor}


async def get_payment(call: Call) -> JsonObject:
    """One payment."""
    payment_id = call.path_id("pay")
    async with call.deps.ledger.reading() as tx:
        found = await listing.find_payment(tx, call.merchant_id, payment_id)
    return _found(found, payment_id)


async def list_payouts(call: Call) -> JsonObject:
    """What was and will be paid out."""
    page = call.asked(PayoutPage).asked()
    async with call.deps.ledger.reading() as tx:
        data, cursor = await listing.list_payouts(tx, call.merchant_id, page)
    return {"data": data, "next_cursor": cursor}


async def get_payout(call: Call) -> JsonObject:
    """One payout."""
    payout_id = call.path_id("po")
    async with call.deps.ledger.reading() as tx:
        found = await listing.find_payout(tx, call.merchant_id, payout_id)
    return _found(found, payout_id)


async def preview(call: Call) -> JsonObject:
    """One's own next settlement."""
    return await call.deps.operations.preview(call.merchant_id)


async def list_balances(call: Call) -> JsonObject:
    """Sums per chain and token."""
    async with call.deps.ledger.reading() as tx:
        minimum = call.deps.settings.settlement.sweep_minimum
        found = await listing.list_balances(tx, call.merchant_id, minimum)
        return {"data": found, "next_cursor": None}


async def list_entries(call: Call) -> JsonObject:
    """Every transfer of one's accounts."""
    asked = call.asked(Page)
    after = None if asked.cursor is None else number_of(asked.cursor, "le")
    async with call.deps.ledger.reading() as tx:
        data, cursor = await listing.list_entries(tx, call.merchant_id, asked.asked(), after)
    return {"data": data, "next_cursor": cursor}


async def list_events(call: Call) -> JsonObject:
    """What webhooks told of, or would have."""
    asked = call.asked(EventPage)
    async with call.deps.ledger.reading() as tx:
        data, cursor = await listing.list_events(tx, call.merchant_id, asked.asked(), asked.type)
    return {"data": data, "next_cursor": cursor}


async def get_event(call: Call) -> JsonObject:
    """One event."""
    event_id = call.path_id("evt")
    async with call.deps.ledger.reading() as tx:
        found = await listing.find_event(tx, call.merchant_id, event_id)
    return _found(found, event_id)


def _found(found: JsonObject | None, object_id: str) -> JsonObject:
    if found is None:
        raise NotFoundError(f"no object {object_id}")
    return found


OPERATIONS: Final = (
    Operation(
        "listPayments",
        "GET",
        "/v1/payments",
        "merchant",
        "List payments",
        "payments",
        answers.Payment,
        read=list_payments,
        many=True,
        query=PaymentPage,
    ),
    Operation(
        "getPayment",
        "GET",
        "/v1/payments/{id}",
        "merchant",
        "One payment",
        "payments",
        answers.Payment,
        read=get_payment,
    ),
    Operation(
        "listPayouts",
        "GET",
        "/v1/payouts",
        "merchant",
        "List payouts",
        "payouts",
        answers.Payout,
        read=list_payouts,
        many=True,
        query=PayoutPage,
    ),
    Operation(
        "previewOwnPayouts",
        "GET",
        "/v1/payouts/preview",
        "merchant",
        "What the next settlement would pay, and hold back",
        "payouts",
        answers.Preview,
        read=preview,
    ),
    Operation(
        "getPayout",
        "GET",
        "/v1/payouts/{id}",
        "merchant",
        "One payout",
        "payouts",
        answers.Payout,
        read=get_payout,
    ),
    Operation(
        "listBalances",
        "GET",
        "/v1/balances",
        "merchant",
        "Balances per chain and token",
        "books",
        answers.Balance,
        read=list_balances,
        many=True,
    ),
    Operation(
        "listLedgerEntries",
        "GET",
        "/v1/ledger-entries",
        "merchant",
        "Every transfer of one's accounts",
        "books",
        answers.Entry,
        read=list_entries,
        many=True,
        query=Page,
    ),
    Operation(
        "listEvents",
        "GET",
        "/v1/events",
        "merchant",
        "List events",
        "events",
        answers.Event,
        read=list_events,
        many=True,
        query=EventPage,
    ),
    Operation(
        "getEvent",
        "GET",
        "/v1/events/{id}",
        "merchant",
        "One event",
        "events",
        answers.Event,
        read=get_event,
    ),
)
