"""Is it alive, is it ready, and what do its metrics say."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from gateway.deps import DEPS, Readiness

TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, as ``generate_latest`` writes it."""


async def livez(_request: web.Request) -> web.Response:
    """The process answers; nothing more is said."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200, or 503 with the checks that failed and why."""
    readiness = await request.app[DEPS].readiness()
    return web.Response(
        status=200 if readiness.ready else 503,
        body=msgspec.json.encode(view_readiness(readiness)),
        content_type="application/json",
    )


def view_readiness(readiness: Readiness) -> dict[str, object]:
    """As ``/readyz`` gives it; pure."""
    return {
        "ready": readiness.ready,
        "checks": [{"name": c.name, "ok": c.ok, "reason": c.reason} for c in readiness.checks],
    }


async def metrics(request: web.Request) -> web.Response:
    """Prometheus exposition."""
    body = await request.app[DEPS].metrics_text()
    return web.Response(body=body, headers={"Content-Type": TEXT_FORMAT})


def add_routes(app: web.Application) -> None:
    """Open to whoever reaches the port."""
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
