"""What long answers watch, so that a stop does not have to wait for them."""

from __future__ import annotations

import asyncio

from aiohttp import web

STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping", asyncio.Event)
"""Set when the server begins to stop: long polls and event streams end at once."""


async def set_stopping(app: web.Application) -> None:
    """Shutdown handler."""
    app[STOPPING].set()
