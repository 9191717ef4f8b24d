"""A wake-up when a node says that there is a new block; never a source of data.

A socket (``eth_subscribe`` to ``newHeads``) tells that it is worth asking now, and
nothing else: what it says of the block is thrown away, so that a socket that lies,
lags, floods or falls silent can cost latency or one needless poll, never a payment.

Guarantees: :meth:`HeadSignal.wait` returns after its timeout at the latest, at most
once per ``least_gap`` earlier, and at once if a head came since the last wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from chain.racing import let_go, within
from chain.rpc.labels import labels_of
from chain.rpc.transport import TransportError
from chain.sockets import Socket, Sockets
from config.clock import Clock, Entropy

SUBSCRIBE: Final = '{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'
MALFORMED_IN_A_ROW: Final = 20
"""After so many the connection is given up."""
CLOSE_SECONDS: Final = 0.5
FLOOD: Final = 200
"""Frames within a second that no chain has blocks for: the connection is given up."""


@dataclass(frozen=True, slots=True)
class HeadTimes:
    """Seconds."""

    connect: float = 10.0
    """To open, and again to be subscribed."""
    silent: float = 60.0
    """Without a head for so long, the socket is taken for dead and opened anew."""
    first_pause: float = 0.5
    longest_pause: float = 60.0
    least_gap: float = 0.05
    """Between two wake-ups: bursts become one poll, a flood 20 a second."""


class HeadObserver(Protocol):
    """Told of each socket by its label (host), never its URL."""

    def on_head_socket(self, chain: str, provider: str, up: bool) -> None:
        """Subscribed, or no longer."""
        ...

    def on_head_signal(self, chain: str, provider: str) -> None:
        """A head was announced."""
        ...

    def on_head_malformed(self, chain: str, provider: str) -> None:
        """A frame that is none of ours, or not understood."""
        ...


class SilentHeadObserver:
    """Reports to nobody."""

    def on_head_socket(self, chain: str, provider: str, up: bool) -> None: ...

    def on_head_signal(self, chain: str, provider: str) -> None: ...

    def on_head_malformed(self, chain: str, provider: str) -> None: ...


class _Notice(msgspec.Struct, gc=False):
    subscription: str
    result: msgspec.Raw


class _Frame(msgspec.Struct, gc=False):
    """A reply (``id``) or a notification (``method``)."""

    id: int | None = None
    result: str | None = None
    method: str | None = None
    params: _Notice | None = None


_FRAMES: Final = msgspec.json.Decoder(_Frame)


def subscription_in(text: str) -> str | None:
    """The subscription's id, if this frame is the answer that grants it."""
    frame = _read(text)
    return frame.result if frame is not None and frame.id == 1 else None


def is_head(text: str, subscription: str) -> bool:
    """Whether this frame announces a block to that subscription."""
    frame = _read(text)
    return (
        frame is not None
        and frame.method == "eth_subscription"
        and frame.params is not None
        and frame.params.subscription == subscription
        and bytes(frame.params.result).startswith(b"{")
    )


def pause_after(failures: int, jitter: float, times: HeadTimes) -> float:
    """Seconds before connecting again.

    :param failures: connections in a row that were refused or broke; 1 for the first.
    :param jitter: 0 … 1, spreads several daemons that were cut off together.
    """
    grown = times.first_pause * 2.0 ** min(max(failures - 1, 0), 16)
    return float(min(grown, times.longest_pause) * (0.5 + 0.5 * jitter))


def _read(text: str) -> _Frame | None:
    try:
        return _FRAMES.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class HeadSignal:
    """For one chain: :meth:`run` beside the one task that calls :meth:`wait`.

    Several URLs are taken in turn, one socket at a time: the next one when one fails.
    """

    def __init__(
        self,
        chain: str,
        urls: Sequence[str],
        *,
        sockets: Sockets,
        clock: Clock,
        entropy: Entropy,
        observer: HeadObserver | None = None,
        times: HeadTimes | None = None,
    ) -> None:
        self.chain = chain
        self._targets = list(zip(urls, labels_of(urls), strict=True))
        self._sockets = sockets
        self._clock = clock
        self._entropy = entropy
        self._observer = observer or SilentHeadObserver()
        self._times = times or HeadTimes()
        self._news = asyncio.Event()
        self._woken_at: float | None = None
        self._up: str | None = None

    @property
    def connected(self) -> str | None:
        """Label of the socket that is subscribed now."""
        return self._up

    async def wait(self, timeout: float, stop: asyncio.Event | None = None) -> bool:  # noqa: ASYNC109
        """Sleep ``timeout`` seconds, or less: until a head comes, or ``stop`` is set.

        Heads that came since the last call count, all of them as one.

        :returns: whether a head ended it.
        """
        waits = [self._next_head()] + ([stop.wait()] if stop is not None else [])
        tasks = [asyncio.ensure_future(work) for work in waits]
        timer = asyncio.ensure_future(self._clock.sleep(timeout))
        try:
            await asyncio.wait({*tasks, timer}, return_when=asyncio.FIRST_COMPLETED)
            woken = tasks[0].done()
        finally:
            await let_go(*tasks, timer)
        if woken:
            self._news.clear()
            self._woken_at = self._clock.monotonic()
        return woken

    async def _next_head(self) -> bool:
        await self._news.wait()
        if self._woken_at is not None:
            gap = self._woken_at + self._times.least_gap - self._clock.monotonic()
            if gap > 0:
                await self._clock.sleep(gap)
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a socket open until ``stop``; returns at once where there is no URL."""
        if not self._targets:
            return
        following = asyncio.ensure_future(self._follow_in_turn())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()  # only a bug ends it: show it to who supervises
        finally:
            await let_go(following, stopping)

    async def _follow_in_turn(self) -> None:
        failures = turn = 0
        while True:
            url, label = self._targets[turn % len(self._targets)]
            try:
                served = await self._follow(url, label)
            except (TransportError, TimeoutError):
                served = False
            failures = 1 if served else failures + 1
            turn += 1
            jitter = self._entropy.token_bytes(1)[0] / 255
            await self._clock.sleep(pause_after(failures, jitter, self._times))

    async def _follow(self, url: str, label: str) -> bool:
        """Listen on one connection until it fails; whether it was of any use."""
        socket = await within(self._clock, self._times.connect, self._sockets.open(url))
        try:
            await socket.send(SUBSCRIBE)
            granted = self._granted(socket, label)
            subscription = await within(self._clock, self._times.connect, granted)
            self._up = label
            self._observer.on_head_socket(self.chain, label, True)
            # What came while there was no socket was not announced.
            self._news.set()
            return await self._listen(socket, label, subscription)
        finally:
            if self._up is not None:
                self._up = None
                self._observer.on_head_socket(self.chain, label, False)
            # A server that floods would keep a polite close waiting for its last frame for ever.
            with suppress(TimeoutError):
                await within(self._clock, CLOSE_SECONDS, socket.close())

    async def _granted(self, socket: Socket, label: str) -> str:
        for _ in range(MALFORMED_IN_A_ROW):
            subscription = subscription_in(await socket.receive())
            if subscription is not None:
                return subscription
            self._observer.on_head_malformed(self.chain, label)
        raise TransportError("NotSubscribed")

    async def _listen(self, socket: Socket, label: str, subscription: str) -> bool:
        """Until it breaks or misbehaves; true if it brought a head, or was only silent.

        Silence is opened anew but not held against it: a quiet chain has no heads.
        """
        served, malformed, in_second = False, 0, 0
        second = last_head = self._clock.monotonic()
        while malformed < MALFORMED_IN_A_ROW and in_second < FLOOD:
            left = last_head + self._times.silent - self._clock.monotonic()
            try:
                text = await within(self._clock, max(0.0, left), socket.receive())
            except TimeoutError:
                return True
            except TransportError:
                return served
            now = self._clock.monotonic()
            if now - second >= 1.0:
                second, in_second = now, 0
            in_second += 1
            if not is_head(text, subscription):
                malformed += 1
                self._observer.on_head_malformed(self.chain, label)
                continue
            served, malformed, last_head = True, 0, now
            self._observer.on_head_signal(self.chain, label)
            self._news.set()
        return False
