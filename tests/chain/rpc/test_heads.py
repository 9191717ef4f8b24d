"""The wake-up: from a real node, from hostile servers, and in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from chain.anvil import Anvil, DevRpc
from chain.heads import FLOOD, HeadSignal, HeadTimes, is_head, pause_after, subscription_in
from chain.rpc.transport import TransportError
from chain.sockets import MAX_FRAME_BYTES, AiohttpSockets, Socket, Sockets
from config.clock import Clock, SystemClock
from tests.support.clock import SeededEntropy
from tests.support.stepped_clock import SteppedClock

QUICK = HeadTimes(connect=0.3, silent=0.3, first_pause=0.02, longest_pause=0.1, least_gap=0.01)
GRANTED = '{"jsonrpc":"2.0","id":1,"result":"0xab"}'


def head(number: int = 1, subscription: str = "0xab") -> str:
    params = {"subscription": subscription, "result": {"number": hex(number)}}
    return json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})


class Watch:
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.providers: set[str] = set()

    def on_head_socket(self, chain: str, provider: str, up: bool) -> None:
        self.seen["up" if up else "down"] += 1
        self.providers.add(provider)

    def on_head_signal(self, chain: str, provider: str) -> None:
        self.seen["head"] += 1

    def on_head_malformed(self, chain: str, provider: str) -> None:
        self.seen["malformed"] += 1


@asynccontextmanager
async def running(
    *urls: str, sockets: Sockets, clock: Clock | None = None, times: HeadTimes = QUICK
) -> AsyncIterator[tuple[HeadSignal, Watch]]:
    watch, stop = Watch(), asyncio.Event()
    signal = HeadSignal(
        "anvil", urls, sockets=sockets, clock=clock or SystemClock(),
        entropy=SeededEntropy(1), observer=watch, times=times,
    )  # fmt: skip
    task = asyncio.ensure_future(signal.run(stop))
    try:
        yield signal, watch
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen in time")


# --- a real node -------------------------------------------------------------------------


@pytest.fixture
async def sockets() -> AsyncIterator[AiohttpSockets]:
    async with aiohttp.ClientSession() as session:
        yield AiohttpSockets(session)


async def test_anvil__each_block__wakes_long_before_the_timeout(
    anvil: Anvil, dev_rpc: DevRpc, sockets: AiohttpSockets
) -> None:
    url = anvil.rpc_url.replace("http", "ws")
    async with running(url, sockets=sockets, times=HeadTimes(silent=30)) as (signal, watch):
        await until(lambda: signal.connected is not None)
        assert await signal.wait(5.0)  # the subscription itself: blocks may have been missed
        loop = asyncio.get_running_loop()
        for _ in range(5):
            waiting = asyncio.ensure_future(signal.wait(10.0))
            started = loop.time()
            await dev_rpc.call("anvil_mine", "0x1")
            assert await waiting
            assert loop.time() - started < 2.0
        assert not await signal.wait(0.1)
        assert watch.seen["head"] == 5 and watch.seen["malformed"] == 0
    assert signal.connected is None and watch.seen["down"] == 1


async def test_anvil__restarted__found_again(dev_rpc: DevRpc, sockets: AiohttpSockets) -> None:
    from chain.anvil import AnvilOptions

    first = await asyncio.to_thread(Anvil(AnvilOptions()).start)
    port = int(first.rpc_url.rsplit(":", 1)[1])
    async with running(first.rpc_url.replace("http", "ws"), sockets=sockets) as (signal, watch):
        await until(lambda: signal.connected is not None)
        await asyncio.to_thread(first.stop)
        await until(lambda: watch.seen["down"] >= 1)
        second = await asyncio.to_thread(Anvil(AnvilOptions(port=port)).start)
        try:
            ups = watch.seen["up"]
            await until(lambda: watch.seen["up"] > ups)
        finally:
            await asyncio.to_thread(second.stop)


# --- hostile servers ---------------------------------------------------------------------

Script = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        with suppress(ConnectionError):
            await script(socket)
        if request.transport is not None:
            request.transport.abort()
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def grant(socket: web.WebSocketResponse) -> None:
    await socket.receive()
    await socket.send_str(GRANTED)


async def test_server__drops_after_each_head__every_one_still_wakes(
    sockets: AiohttpSockets,
) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await grant(socket)
        await socket.send_str(head())

    async with server(script) as url, running(url, sockets=sockets) as (signal, watch):
        for _ in range(3):
            assert await signal.wait(5.0)
        await until(lambda: watch.seen["up"] >= 3)


async def test_server__never_answers__tried_again_and_wait_times_out(
    sockets: AiohttpSockets,
) -> None:
    connections = 0

    async def script(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        await asyncio.sleep(60)

    async with server(script) as url, running(url, sockets=sockets) as (signal, watch):
        assert not await signal.wait(0.05)
        await until(lambda: connections >= 2)
        assert watch.seen["up"] == 0


async def test_server__falls_silent__socket_opened_anew(sockets: AiohttpSockets) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await grant(socket)
        await asyncio.sleep(60)

    async with server(script) as url, running(url, sockets=sockets) as (_, watch):
        await until(lambda: watch.seen["up"] >= 3)
        assert watch.seen["head"] == 0


GARBAGE = [
    "", "{", "null", "[]", "0", '"x"', "[" * 5000, '{"x":' + "[" * 50_000,
    '{"method":"eth_subscription"}',
    '{"method":"eth_subscription","params":{"subscription":"0xab","result":null}}',
    '{"method":"eth_subscription","params":{"subscription":7,"result":{}}}',
    head(subscription="0xother"), '{"id":1,"result":{"number":"0x1"}}', "\ud7ff<html>",
]  # fmt: skip


async def test_server__garbage_between_heads__counted_and_not_fatal(
    sockets: AiohttpSockets,
) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await grant(socket)
        for text in GARBAGE:
            await socket.send_str(text)
        await socket.send_bytes(b"\xff\x00")
        await socket.send_str(head())
        await asyncio.sleep(60)

    async with server(script) as url, running(url, sockets=sockets) as (signal, watch):
        await until(lambda: watch.seen["head"] >= 1)
        assert watch.seen["malformed"] == len(GARBAGE) + 1
        assert await signal.wait(1.0)


async def test_server__only_garbage__given_up_before_and_after_the_grant(
    sockets: AiohttpSockets,
) -> None:
    connections = 0

    async def script(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        if connections % 2:
            await grant(socket)
        for _ in range(10_000):
            await socket.send_str("{}")
            await asyncio.sleep(0)

    async with server(script) as url, running(url, sockets=sockets) as (_, watch):
        await until(lambda: connections >= 4)
        assert watch.seen["malformed"] <= 20 * connections


async def test_server__floods_heads__dropped_and_wakes_stay_apart(
    sockets: AiohttpSockets,
) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await grant(socket)
        while True:
            await socket.send_str(head())
            await asyncio.sleep(0)  # server and client share this event loop

    times = HeadTimes(connect=1, silent=1, first_pause=0.1, longest_pause=0.1, least_gap=0.05)
    async with server(script) as url, running(url, sockets=sockets, times=times) as (signal, watch):
        loop = asyncio.get_running_loop()
        started, wakes = loop.time(), 0
        while loop.time() - started < 1.0:
            wakes += await signal.wait(0.2)
        assert 1 <= wakes <= 21
        assert watch.seen["down"] >= 1
        assert watch.seen["head"] <= FLOOD * watch.seen["up"]


async def test_server__huge_frame__connection_closed(sockets: AiohttpSockets) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await grant(socket)
        await socket.send_str("x" * (MAX_FRAME_BYTES + 1))
        await asyncio.sleep(60)

    slow = HeadTimes(connect=1, silent=60, first_pause=0.02, longest_pause=0.1)
    async with server(script) as url, running(url, sockets=sockets, times=slow) as (_, watch):
        await until(lambda: watch.seen["up"] >= 2)
        assert watch.seen["head"] == 0


async def test_two_urls__the_first_is_dead__the_second_serves_and_no_key_is_shown(
    sockets: AiohttpSockets,
) -> None:
    async def script(socket: web.WebSocketResponse) -> None:
        await grant(socket)
        await asyncio.sleep(60)

    async with server(script) as url:
        dead = "ws://127.0.0.1:1/KEYKEYKEY"
        async with running(dead, f"{url}/?key=KEYKEYKEY", sockets=sockets) as (signal, watch):
            await until(lambda: signal.connected is not None)
            assert watch.providers == {url.removeprefix("ws://")}
        with pytest.raises(TransportError) as caught:
            await sockets.open(dead)
        assert "KEY" not in str(caught.value)


# --- virtual time ------------------------------------------------------------------------


class ScriptedSockets:
    """Frames are put into ``frames``; an exception there breaks the connection."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.refuse = refuse
        self.opened: list[str] = []
        self.at: list[float] = []
        self.closed = 0
        self.frames: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.clock = SteppedClock()

    async def open(self, url: str) -> Socket:
        self.opened.append(url)
        self.at.append(self.clock.time)
        if self.refuse:
            raise TransportError("ClientConnectorError")
        return self

    async def send(self, text: str) -> None:
        assert json.loads(text)["params"] == ["newHeads"]
        self.frames.put_nowait(GRANTED)

    async def receive(self) -> str:
        frame = await self.frames.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def close(self) -> None:
        self.closed += 1


async def test_wait__no_socket_at_all__is_a_plain_sleep() -> None:
    clock = SteppedClock()
    signal = HeadSignal("c", [], sockets=ScriptedSockets(), clock=clock, entropy=SeededEntropy())
    await signal.run(asyncio.Event())
    waiting = asyncio.ensure_future(signal.wait(2.0))
    await clock.advance(1.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert waiting.done() and not waiting.result()


async def test_wait__burst_of_heads__one_wake_and_none_is_lost() -> None:
    fake = ScriptedSockets()
    clock = fake.clock
    async with running("ws://a", sockets=fake, clock=clock, times=HeadTimes()) as (signal, watch):
        await clock.settle()
        assert await signal.wait(1.0)
        for i in range(7):
            fake.frames.put_nowait(head(i))
        await clock.settle()  # nobody waits: the poll is still busy
        burst = asyncio.ensure_future(signal.wait(5.0))
        await clock.advance(0.049)
        assert not burst.done()  # not sooner than least_gap after the last wake
        await clock.advance(0.002)
        assert burst.done() and burst.result()
        idle = asyncio.ensure_future(signal.wait(5.0))
        await clock.advance(4.99)
        assert not idle.done()
        await clock.advance(0.02)
        assert idle.done() and not idle.result()
        assert watch.seen["head"] == 7


async def test_wait__stop_is_set__returns_at_once() -> None:
    clock, stop = SteppedClock(), asyncio.Event()
    signal = HeadSignal("c", [], sockets=ScriptedSockets(), clock=clock, entropy=SeededEntropy())
    waiting = asyncio.ensure_future(signal.wait(100.0, stop))
    await clock.settle()
    stop.set()
    await clock.settle()
    assert waiting.done() and not waiting.result()


async def test_run__refused_for_ever__pauses_double_up_to_the_longest() -> None:
    fake = ScriptedSockets(refuse=True)
    async with running("ws://a", "ws://b", sockets=fake, clock=fake.clock, times=HeadTimes()):
        await fake.clock.advance(600.0)
    gaps = [b - a for a, b in zip(fake.at, fake.at[1:], strict=False)]
    assert 0.25 <= gaps[0] <= 0.5
    assert all(30.0 <= gap <= 60.0 for gap in gaps[8:])
    assert fake.opened[:3] == ["ws://a", "ws://b", "ws://a"]


async def test_run__silent_for_a_minute__reconnects_without_growing_pauses() -> None:
    fake = ScriptedSockets()
    async with running("ws://a", sockets=fake, clock=fake.clock, times=HeadTimes()) as (_, watch):
        await fake.clock.advance(60.0 * 10 + 20)
        assert len(fake.opened) >= 10
        assert watch.seen["up"] == len(fake.opened)
    assert fake.closed == len(fake.opened)


async def test_run__head_after_a_break__pauses_start_again() -> None:
    fake = ScriptedSockets(refuse=True)
    async with running("ws://a", sockets=fake, clock=fake.clock, times=HeadTimes()):
        await fake.clock.advance(100.0)
        fake.refuse = False
        await fake.clock.advance(61.0)
        fake.frames.put_nowait(head())
        await fake.clock.settle()
        fake.frames.put_nowait(TransportError("CLOSED"))
        before = len(fake.opened)
        await fake.clock.advance(0.5)
        assert len(fake.opened) == before + 1


def test_frames__read_as_what_they_are() -> None:
    assert subscription_in(GRANTED) == "0xab"
    assert subscription_in('{"id":2,"result":"0xab"}') is None
    assert subscription_in('{"id":1,"error":{"code":-32601,"message":"no"}}') is None
    assert is_head(head(), "0xab") and not is_head(head(), "0xcd")
    assert not any(is_head(text, "0xab") for text in GARBAGE)


def test_pause__grows_and_stays_in_its_bounds() -> None:
    times = HeadTimes()
    assert [pause_after(n, 1.0, times) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert pause_after(10**6, 1.0, times) == 60.0
    assert pause_after(10**6, 0.0, times) == 30.0
    assert pause_after(0, 1.0, times) == 0.5
