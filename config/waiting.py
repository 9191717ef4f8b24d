"""Waiting that ends early when asked to stop."""

from __future__ import annotations

import asyncio

from config.clock import Clock


async def wait(clock: Clock, seconds: float, stop: asyncio.Event) -> bool:
    """Sleep by ``clock``, or until ``stop`` is set; whether it is set now."""
    sleeping = asyncio.ensure_future(clock.sleep(seconds))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        stopping.cancel()
    return stop.is_set()
