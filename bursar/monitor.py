"""A look at each chain that depends on none of the other tasks.

Readiness asks it when a provider last answered, and how old the newest block
is; it goes on looking while a chain is halted or its tasks are held back.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from bursar.metrics.families import Families
from chain.client import ChainClient
from chain.rpc.errors import RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.waiting import wait

SELDOM: Final = timedelta(seconds=5)
"""One request in five seconds is nothing beside a watcher's."""


class ChainMonitor:
    """Head and time of the last answer of one chain."""

    def __init__(
        self, chain: ChainSettings, client: ChainClient, families: Families, clock: Clock
    ) -> None:
        self._chain = chain
        self._client = client
        self._families = families
        self._clock = clock
        self.started_at = clock.now()
        self.asked_at: datetime | None = None
        self.head_time: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped; no answer is a finding, not a failure."""
        every = max(SELDOM, self._chain.poll_interval) / timedelta(seconds=1)
        while not stop.is_set():
            await self.look()
            await wait(self._clock, every, stop)

    async def look(self) -> None:
        """Ask once for the newest block."""
        try:
            head = await self._client.block("latest")
        except RpcError:
            return
        if head is None:
            return
        self.asked_at = self._clock.now()
        self.head_time = datetime.fromtimestamp(head.timestamp, UTC)
        self._families.chain_head_block.labels(self._chain.name, "latest").set(head.number)
