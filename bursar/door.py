"""Listening: the gateway's app, or for roles without one the three operational pages."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from aiohttp import web

from bursar.metrics.families import CONTENT_TYPE
from config.errors import BursarError, ConfigError
from config.log import get_logger
from config.settings import HttpSettings
from gateway.deps import Readiness
from gateway.server import start_server

log = get_logger(__name__)


class Door:
    """A listening HTTP server; bound at once, so that a taken port refuses the start."""

    def __init__(self, stack: AsyncExitStack, url: str) -> None:
        self._stack = stack
        self.url = url

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; then take no new connection and end the open ones."""
        await stop.wait()
        await self.close()

    async def close(self) -> None:
        """End now; again is harmless."""
        await self._stack.aclose()


async def open_door(app: web.Application, http: HttpSettings, *, any_port: bool) -> Door:
    """Listen.

    :param any_port: where the port is taken, take a free one and say so: roles without
        the API are often started beside one that has it, from the same configuration.
    :raises ConfigError: the address cannot be listened at.
    """
    stack = AsyncExitStack()
    try:
        port = await stack.enter_async_context(start_server(app, http.host, http.port))
    except OSError as error:
        if not (any_port and error.errno == errno.EADDRINUSE):
            raise _refusal(http, error) from None
        log.warning("port_taken", port=http.port, remedy="set BURSAR_HTTP__PORT for this role")
        port = await stack.enter_async_context(start_server(app, http.host, 0))
    shown = f"[{http.host}]" if ":" in http.host else http.host
    return Door(stack, f"http://{shown}:{port}")


def _refusal(http: HttpSettings, error: OSError) -> BursarError:
    reason = {
        errno.EADDRINUSE: "the port is taken",
        errno.EACCES: "this user may not listen there",
        errno.EADDRNOTAVAIL: "this machine does not have the address",
    }.get(error.errno or 0, error.strerror or "cannot be listened at")
    return ConfigError(
        reason, where=f"http {http.host}:{http.port}", remedy="set http.port or BURSAR_HTTP__PORT"
    )


def operations_app(
    readiness: Callable[[], Awaitable[Readiness]], metrics: Callable[[], Awaitable[bytes]]
) -> web.Application:
    """``/livez``, ``/readyz`` and ``/metrics`` alone, as the gateway answers them."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        found = await readiness()
        checks = [{"name": c.name, "ok": c.ok, "reason": c.reason} for c in found.checks]
        status = 200 if found.ready else 503
        return web.json_response({"ready": found.ready, "checks": checks}, status=status)

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    return app
