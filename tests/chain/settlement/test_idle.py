"""A chain with nothing to do costs next to nothing, however often it is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ledger.store import Ledger, Tx
from tests.chain.settlement.world import World

MOST_SNAPSHOTS = 3
"""The chain's work, the lane of the sweeps, the lane of the payouts."""


class Counted:
    """A ledger that counts the transactions that are opened."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        self.opened += 1
        async with self._ledger.reading() as tx:
            yield tx

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self.opened += 100
        async with self._ledger.transaction() as tx:
            yield tx


async def test_tick__nothing_to_do__three_snapshots_and_no_write(world: World) -> None:
    counted = Counted(world.ledger)
    service = world.service(ledger=counted)
    for _ in range(8):
        await world.watch(mine=1)
        await service.tick()
    counted.opened = 0
    await service.tick()
    assert counted.opened <= MOST_SNAPSHOTS
