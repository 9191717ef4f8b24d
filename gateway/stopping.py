"""What long answers watch, so that a stop does not have to wait for them."""

from __future__ import annotations

import asyncio

from aiohttp import web

STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping", asyncio.Event)
"""Set when the server begins to stop: long polls and event streams end at once."""


async def set_stopping(app: web.Application) -> None:
    """Shutdown handler."""
    app[STOPPING].set()


def nobody_waits(request: web.Request) -> bool:
    """Whether the server stops, or the client has gone away: nothing else ends a handler then."""
    transport = request.transport
    gone = transport is None or transport.is_closing()
    return gone or request.app[STOPPING].is_set()
