"""Listening for new heads beside a watcher, where ``ws_urls`` says where; a wake-up only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from chain.heads import HeadObserver, HeadSignal
from chain.rpc.transport import TransportError
from chain.sockets import Socket, Sockets
from config.chains import ChainSettings
from config.clock import Clock, Entropy

OpenSockets = Callable[[], AbstractAsyncContextManager[Sockets]]


class HeadListener:
    """One chain's head signal, and the task that keeps its socket open."""

    def __init__(
        self,
        chain: ChainSettings,
        open_sockets: OpenSockets,
        *,
        clock: Clock,
        entropy: Entropy,
        observer: HeadObserver | None = None,
    ) -> None:
        self._open_sockets = open_sockets
        self._sockets = _WhileRunning()
        self.signal = HeadSignal(
            chain.name,
            chain.head_urls,
            sockets=self._sockets,
            clock=clock,
            entropy=entropy,
            observer=observer,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; no failure of a socket ends it."""
        async with self._open_sockets() as sockets:
            self._sockets.opener = sockets
            try:
                await self.signal.run(stop)
            finally:
                self._sockets.opener = None


class _WhileRunning:
    """The signal is made before the session that its sockets are opened with."""

    def __init__(self) -> None:
        self.opener: Sockets | None = None

    async def open(self, url: str) -> Socket:
        if self.opener is None:
            raise TransportError("NotRunning")
        return await self.opener.open(url)
