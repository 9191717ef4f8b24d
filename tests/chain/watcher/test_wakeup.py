"""A node announces its blocks: the watcher need not wait for its poll, and needs no socket."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bursar.compose import web_sockets
from bursar.heads import HeadListener
from config.clock import SystemClock, SystemEntropy
from tests.chain.watcher.world import Invoice, World

LONG_POLL = timedelta(hours=1)


async def reach(world: World, invoice: Invoice, status: str) -> None:
    for _ in range(1_000):
        if await world.status(invoice) == status:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {await world.status(invoice)}")


def listener_of(world: World, ws_url: str) -> HeadListener:
    chain = world.settings.model_copy(update={"ws_urls": (ws_url,)})
    return HeadListener(chain, web_sockets, clock=world.clock, entropy=SystemEntropy())


async def test_new_head_announced__poll_an_hour_away__seen_at_once(world: World) -> None:
    world.settings = world.settings.model_copy(update={"poll_interval": LONG_POLL})
    # The machine's own: on the world's the hour is over, and the socket too late, in no time.
    world.clock = SystemClock()
    listener = listener_of(world, world.url.replace("http://", "ws://"))
    world.restart(heads=listener.signal)
    await world.follow()
    invoice = await world.invoice()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(work) for work in (world.watcher.run(stop), listener.run(stop))]
    try:
        for _ in range(1_000):
            if listener.signal.connected is not None:
                break
            await asyncio.sleep(0.01)
        assert listener.signal.connected is not None
        await world.pay(invoice.address, 10_000_000)
        await reach(world, invoice, "processing")
        await world.mine(3)
        await reach(world, invoice, "paid")
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def test_socket_dead__polling_alone__costs_only_latency(world: World) -> None:
    listener = listener_of(world, "ws://127.0.0.1:9")
    world.restart(heads=listener.signal)
    await world.follow()
    invoice = await world.invoice()
    stop = asyncio.Event()
    tasks = [asyncio.create_task(work) for work in (world.watcher.run(stop), listener.run(stop))]
    try:
        await world.pay(invoice.address, 10_000_000)
        await world.mine(3)
        await reach(world, invoice, "paid")
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert listener.signal.connected is None
