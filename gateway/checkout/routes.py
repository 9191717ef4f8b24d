"""``/i/{id}`` and its event stream."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from aiohttp import web

from config.ids import is_id
from gateway.checkout.qr import qr_svg
from gateway.checkout.state import checkout_of
from gateway.deps import DEPS
from gateway.problems import Code, ProblemError
from gateway.rendering import PAGES
from gateway.stopping import STOPPING
from ledger.invoices import load_views
from ledger.listing import invoice_pulse, is_canceled

POLL_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 15.0
STREAM_SECONDS: Final = 600.0
"""A browser comes back by itself; a forgotten one is let go."""


async def page(request: web.Request) -> web.Response:
    """The checkout page as it is now."""
    deps, pages = request.app[DEPS], request.app[PAGES]
    invoice_id = request.match_info["id"]
    views, pulse, canceled = {}, None, False
    if is_id(invoice_id, "inv"):
        async with deps.ledger.reading() as tx:
            pulse = await invoice_pulse(tx, invoice_id)
            views = await load_views(tx, [invoice_id])
            canceled = await is_canceled(tx, invoice_id)
    if invoice_id not in views:
        return pages.page("missing.html", status=404)
    checkout = checkout_of(views[invoice_id], deps.clock.now(), canceled=canceled)
    ways = [(way, qr_svg(way.uri)) for way in checkout.ways]
    return pages.page("checkout.html", checkout=checkout, ways=ways, pulse=pulse)


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: ``state`` whenever the page would look different."""
    deps, stopping = request.app[DEPS], request.app[STOPPING]
    invoice_id = request.match_info["id"]
    if not is_id(invoice_id, "inv"):
        raise ProblemError(Code.NOT_FOUND, "there is no such invoice")
    async with deps.ledger.reading() as tx:
        pulse = await invoice_pulse(tx, invoice_id)
    if pulse is None:
        raise ProblemError(Code.NOT_FOUND, "there is no such invoice")
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    told: str | None = None
    begun = said = deps.clock.monotonic()
    while not stopping.is_set() and deps.clock.monotonic() - begun < STREAM_SECONDS:
        try:
            async with deps.ledger.reading() as tx:
                pulse = await invoice_pulse(tx, invoice_id)
            if pulse != told:
                await response.write(f"event: state\ndata: {pulse}\n\n".encode())
                told, said = pulse, deps.clock.monotonic()
            elif deps.clock.monotonic() - said >= HEARTBEAT_SECONDS:
                await response.write(b": still here\n\n")
                said = deps.clock.monotonic()
        except (ConnectionError, sa.exc.SQLAlchemyError):
            break  # the browser went away, or comes back when the database does
        await deps.clock.sleep(POLL_SECONDS)
    return response


def add_routes(app: web.Application) -> None:
    """The two routes."""
    app.router.add_get("/i/{id}", page)
    app.router.add_get("/i/{id}/events", events, allow_head=False)
