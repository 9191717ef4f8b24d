"""``/i/{id}`` and its event stream."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from aiohttp import web

from config.errors import BursarError
from config.ids import is_id
from gateway.checkout.qr import qr_svg
from gateway.checkout.state import checkout_of
from gateway.deps import DEPS
from gateway.limits import Shares
from gateway.problems import Code, ProblemError
from gateway.rendering import PAGES
from gateway.rounds import Rounds
from gateway.stopping import nobody_waits
from ledger.invoices import load_views
from ledger.listing import is_canceled
from ledger.pulses import invoice_pulses

POLL_SECONDS: Final = 1.0
MOST_STREAMS: Final = 50
"""Pages of one invoice that are told of changes at the same time: who has one link must not take
the places of those who have another."""
RETRY_SECONDS: Final = 10
STREAMS: web.AppKey[Shares] = web.AppKey("streams", Shares)
PULSES: web.AppKey[Rounds[str]] = web.AppKey("pulses", Rounds)
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
            pulse = (await invoice_pulses(tx, [invoice_id])).get(invoice_id)
            views = await load_views(tx, [invoice_id])
            canceled = await is_canceled(tx, invoice_id)
    if invoice_id not in views:
        return pages.page("missing.html", status=404)
    checkout = checkout_of(views[invoice_id], deps.clock.now(), canceled=canceled)
    ways = [(way, qr_svg(way.uri)) for way in checkout.ways]
    return pages.page("checkout.html", checkout=checkout, ways=ways, pulse=pulse)


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: ``state`` whenever the page would look different."""
    invoice_id = request.match_info["id"]
    pulse = None
    if is_id(invoice_id, "inv"):
        async with request.app[DEPS].ledger.reading() as tx:
            pulse = (await invoice_pulses(tx, [invoice_id])).get(invoice_id)
    if pulse is None:
        raise ProblemError(Code.NOT_FOUND, "there is no such invoice")
    streams = request.app[STREAMS]
    if not streams.enter(invoice_id):
        raise ProblemError(
            Code.OVERLOADED, "too many pages of this invoice are open", retry_after=RETRY_SECONDS
        )
    try:
        return await _stream(request, invoice_id, pulse)
    finally:
        streams.leave(invoice_id)


async def _stream(request: web.Request, invoice_id: str, pulse: str) -> web.StreamResponse:
    clock = request.app[DEPS].clock
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    now: str | None = pulse
    told: str | None = None
    begun = said = clock.monotonic()
    while not nobody_waits(request) and clock.monotonic() - begun < STREAM_SECONDS:
        try:
            if now != told:
                await response.write(f"event: state\ndata: {now}\n\n".encode())
                told, said = now, clock.monotonic()
            elif clock.monotonic() - said >= HEARTBEAT_SECONDS:
                await response.write(b": still here\n\n")
                said = clock.monotonic()
            now = await request.app[PULSES].next(invoice_id)
        except (ConnectionError, sa.exc.SQLAlchemyError, BursarError):
            break  # the browser went away, or comes back when the database does
    return response


def add_routes(app: web.Application) -> None:
    """The two routes."""
    app.router.add_get("/i/{id}", page)
    app.router.add_get("/i/{id}/events", events, allow_head=False)
