"""Invoices: open, read, wait for a change, cancel."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from config.errors import NotFoundError
from gateway import answers
from gateway.invoicing import InvoiceRules, invoice_spec
from gateway.limits import Shares
from gateway.operation import Call, JsonObject, Operation
from gateway.problems import Code, ProblemError
from gateway.requests import Empty, InvoicePage, NewInvoice, WaitQuery
from gateway.rounds import Rounds
from gateway.stopping import nobody_waits
from ledger.invoices import Tolerance, cancel_invoice, create_invoices, load_views
from ledger.listing import list_invoices
from ledger.pulses import invoice_statuses
from ledger.store import Tx

POLL_SECONDS: Final = 0.25
MOST_POLLS: Final = 200
"""Long polls that a merchant may have under way."""
STATUSES: web.AppKey[Rounds[tuple[str, str]]] = web.AppKey("statuses", Rounds)
POLLS: web.AppKey[Shares] = web.AppKey("polls", Shares)


async def create(call: Call, tx: Tx) -> JsonObject:
    """Open an invoice with a deposit address of its own."""
    deps = call.deps
    if deps.derive is None:
        raise ProblemError(
            Code.UNAVAILABLE, "no deposit addresses can be derived here (wallets.deposit_xpub)"
        )
    rules = InvoiceRules(deps.catalogue, deps.settings.invoices)
    spec = invoice_spec(call.given(NewInvoice), rules, tx.now)
    reuse = deps.settings.invoices.reuse
    ids = await create_invoices(tx, call.merchant_id, [spec], deps.derive, reuse=reuse)
    return (await load_views(tx, ids))[ids[0]]


async def get(call: Call) -> JsonObject:
    """One invoice; with ``wait`` only once its status is no longer ``since``."""
    invoice_id, asked = call.path_id("inv"), call.asked(WaitQuery)
    if asked.wait:
        await _poll(call, invoice_id, asked)
    async with call.deps.ledger.reading() as tx:
        await _check_owner(tx, call.merchant_id, invoice_id)
        return (await load_views(tx, [invoice_id]))[invoice_id]


async def _poll(call: Call, invoice_id: str, asked: WaitQuery) -> None:
    polls = call.request.app[POLLS]
    if not polls.enter(call.merchant_id):
        raise ProblemError(
            Code.RATE_LIMITED,
            f"{polls.limit} long polls of yours are under way: wait for one, or use webhooks",
            retry_after=1,
        )
    try:
        await _wait_for_change(call, invoice_id, asked)
    finally:
        polls.leave(call.merchant_id)


async def _wait_for_change(call: Call, invoice_id: str, asked: WaitQuery) -> None:
    """Return when the status has left ``since``, the time is over, or nobody waits any more."""
    clock = call.deps.clock
    deadline = clock.monotonic() + asked.wait
    since = asked.since
    async with call.deps.ledger.reading() as tx:
        status = await _check_owner(tx, call.merchant_id, invoice_id)
    if since is None:
        since = status  # type: ignore[assignment]
    while status == since and clock.monotonic() < deadline and not nobody_waits(call.request):
        found = await call.request.app[STATUSES].next(invoice_id)
        assert found is not None, "no invoice goes away"
        status = found[1]


async def _check_owner(tx: Tx, merchant_id: str, invoice_id: str) -> str:
    found = (await invoice_statuses(tx, [invoice_id])).get(invoice_id)
    if found is None or found[0] != merchant_id:
        raise NotFoundError(f"no invoice {invoice_id}")
    return found[1]


async def list_own(call: Call) -> JsonObject:
    """A page of invoices."""
    page = call.asked(InvoicePage).asked()
    async with call.deps.ledger.reading() as tx:
        data, cursor = await list_invoices(tx, call.merchant_id, page)
    return {"data": data, "next_cursor": cursor}


async def cancel(call: Call, tx: Tx) -> JsonObject:
    """Expect no payment any more; one that comes is credited all the same."""
    invoice_id = call.path_id("inv")
    await _check_owner(tx, call.merchant_id, invoice_id)
    configured = call.deps.settings.invoices.tolerance
    await cancel_invoice(tx, invoice_id, Tolerance(configured.absolute, configured.bps))
    return (await load_views(tx, [invoice_id]))[invoice_id]


_PATH: Final = "/v1/invoices"
OPERATIONS: Final = (
    Operation(
        "createInvoice",
        "POST",
        _PATH,
        "merchant",
        "Open an invoice",
        "invoices",
        answers.Invoice,
        write=create,
        status=201,
        body=NewInvoice,
    ),
    Operation(
        "listInvoices",
        "GET",
        _PATH,
        "merchant",
        "List invoices",
        "invoices",
        answers.Invoice,
        read=list_own,
        many=True,
        query=InvoicePage,
    ),
    Operation(
        "getInvoice",
        "GET",
        _PATH + "/{id}",
        "merchant",
        "One invoice; long-polls with wait and since",
        "invoices",
        answers.Invoice,
        read=get,
        query=WaitQuery,
    ),
    Operation(
        "cancelInvoice",
        "POST",
        _PATH + "/{id}/cancel",
        "merchant",
        "Cancel an invoice",
        "invoices",
        answers.Invoice,
        write=cancel,
        body=Empty,
    ),
)
