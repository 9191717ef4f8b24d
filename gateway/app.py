"""The merchant's door as one aiohttp application."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway import docs_page
from gateway.auth import BUCKETS
from gateway.body import MAX_BYTES
from gateway.checkout import routes as checkout_routes
from gateway.deps import GatewayDeps
from gateway.dispatch import handler_of
from gateway.docs_page import OPENAPI
from gateway.limits import Shares, TokenBuckets
from gateway.middleware import middlewares, prepare
from gateway.openapi import openapi_document
from gateway.operation import Operation
from gateway.rendering import PAGES, Pages, asset
from gateway.resources import (
    admin,
    approvals,
    books,
    destinations,
    health,
    invoices,
    merchants,
    money,
    refunds,
    runs,
    webhooks,
)
from gateway.rounds import Rounds
from gateway.stopping import STOPPING, set_stopping
from ledger.pulses import invoice_pulses, invoice_statuses

OPERATIONS: Final[tuple[Operation, ...]] = (
    *merchants.OPERATIONS,
    *destinations.OPERATIONS,
    *invoices.OPERATIONS,
    *money.OPERATIONS,
    *refunds.OPERATIONS,
    *webhooks.OPERATIONS,
    *admin.OPERATIONS,
    *runs.OPERATIONS,
    *approvals.OPERATIONS,
    *books.OPERATIONS,
)


def create_app(deps: GatewayDeps) -> web.Application:
    """The application; run it with :func:`gateway.server.start_server`."""
    app = web.Application(client_max_size=MAX_BYTES, middlewares=middlewares(deps))
    prepare(app, deps)
    app[BUCKETS] = TokenBuckets(deps.settings.http.rate_limit)
    app[invoices.POLLS] = Shares(invoices.MOST_POLLS)
    _watch(app, deps)
    app[STOPPING] = asyncio.Event()
    app.on_shutdown.append(set_stopping)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, handler_of(operation))
    health.add_routes(app)
    public_url = deps.settings.http.public_url
    app[PAGES] = Pages(urlsplit(public_url).path)
    app[OPENAPI] = openapi_document(OPERATIONS, public_url, version("bursar"))
    app.router.add_get("/assets/{name}", asset)
    checkout_routes.add_routes(app)
    docs_page.add_routes(app)
    return app


def _watch(app: web.Application, deps: GatewayDeps) -> None:
    """What open pages and long polls are told by."""
    app[checkout_routes.STREAMS] = Shares(checkout_routes.MOST_STREAMS)
    pulses = Rounds(deps.ledger, deps.clock, invoice_pulses, checkout_routes.POLL_SECONDS)
    statuses = Rounds(deps.ledger, deps.clock, invoice_statuses, invoices.POLL_SECONDS)
    app[checkout_routes.PULSES], app[invoices.STATUSES] = pulses, statuses

    async def close(_app: web.Application) -> None:
        await pulses.close()
        await statuses.close()

    app.on_cleanup.append(close)
