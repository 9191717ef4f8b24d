"""A look at each chain that depends on none of the other tasks.

Readiness asks it when a provider last answered, and how old the newest block
is; it goes on looking while a chain is halted or its tasks are held back.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from bursar.metrics.families import Families
from bursar.readiness import is_old
from chain.client import ChainClient
from chain.model import BlockHeader
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
        """Ask for the newest block, of others too where the first one's is old.

        A node that stands still answers all the same, and is asked first again and again.
        """
        heads = await _heads(self._client)
        if all(is_old(self._chain, self._time_of(head), self._clock.now()) for head in heads):
            first = self._client.pinned()
            second = first.second()
            third = None if second is None else first.third(second)
            for view in (first, second, third):
                heads += [] if view is None else await _heads(view)
        if not heads:
            return
        head = max(heads, key=lambda found: found.number)
        self.asked_at, self.head_time = self._clock.now(), self._time_of(head)
        self._families.chain_head_block.labels(self._chain.name, "latest").set(head.number)

    @staticmethod
    def _time_of(head: BlockHeader) -> datetime:
        return datetime.fromtimestamp(head.timestamp, UTC)


async def _heads(client: ChainClient) -> list[BlockHeader]:
    """What it shows as the newest block; nothing where it does not answer."""
    try:
        head = await client.block("latest")
    except RpcError:
        return []
    return [] if head is None else [head]
