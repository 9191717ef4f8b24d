"""What happens in many a test of the watcher: payments, failures gone through, blocks read again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ledger.rescans import get_rescan, request_rescan
from tests.chain.watcher.world import World, chain_settings
from watcher.service import EXPECTED

Check = Callable[[], Awaitable[bool]]
ServedBy = Callable[..., None]
"""The fixture ``served_by``: URLs, then what the watcher is made of besides."""


async def persist(world: World, done: Check, limit: int = 300) -> None:
    """Tick through failures, as ``run`` does, until ``done()``; a second passes between ticks.

    So the rests of providers and the patience with the second one are over well before the
    limit, at any speed of the machine. Only clients with the world's clock notice.
    """
    for _ in range(limit):
        try:
            await world.watcher.tick()
        except EXPECTED:
            await asyncio.sleep(0)
        world.clock.advance(1)
        if await done():
            return
    told = world.watcher.status()
    raise AssertionError(f"not done: {await world.cursor()}, {await world.statuses()}, {told}")


async def try_ticks(world: World, count: int, *, seconds: float = 1) -> None:
    """Tick so often, whatever fails, and let so many seconds pass after each."""
    for _ in range(count):
        with suppress(*EXPECTED):
            await world.watcher.tick()
        world.clock.advance(seconds)


async def pay_many(world: World, count: int) -> Check:
    """Pays ``count`` invoices, a block each; returns a check that all are paid."""
    invoices = await world.invoices(count)
    for invoice in invoices:
        await world.pay(invoice.address, 10_000_000)
    await world.mine(3)
    return world.are_paid(*invoices)


def follows(world: World) -> Check:
    """Whether the cursor is at the head, whatever of it is final."""

    async def check() -> bool:
        return (await world.cursor())[0] == await world.head()

    return check


async def ask_to_reread(world: World, first: int, last: int) -> int:
    """An operator has these blocks read again; the request's number."""
    async with world.ledger.transaction() as tx:
        return await request_rescan(tx, "anvil", first, last, "command")


async def is_reread(world: World, number: int) -> bool:
    async with world.ledger.reading() as tx:
        rescan = await get_rescan(tx, number)
    return rescan is not None and rescan.finished


def final_by_tag(world: World) -> None:
    """From the next restart on; Anvil's ``finalized`` lies 64 blocks below the head."""
    world.settings = chain_settings(world.url, world.tokens, finality="finalized")
