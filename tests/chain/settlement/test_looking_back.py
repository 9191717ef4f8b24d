"""What a look could not read is read by a later one: no mark moves past it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from chain.model import BlockHeader, BlockRef, Log
from chain.rpc.errors import RpcError, Unreachable
from ledger.comparisons import compared_block
from settlement.service import ChainSettlement
from tests.chain.settlement.clients import Forgetful, SpyingClient
from tests.chain.settlement.scenes import (
    ONE_DATABASE,
    breaker_released,
    destroyed,
    stolen,
    treasury_filled,
)
from tests.chain.settlement.test_narrow_ranges import narrow, short_looks
from tests.chain.settlement.world import World

__all__ = ["narrow", "short_looks"]
pytestmark = ONE_DATABASE


async def paid_once(world: World, client: SpyingClient) -> None:
    await treasury_filled(world, world.service(client=client))
    world.clock.advance(11)


class Behind(SpyingClient):
    """The only provider there is: a balancer's node that ends below what is final already."""

    head: int | None = None

    async def block(self, which: BlockRef) -> BlockHeader | None:
        if self.head is not None and which == "latest":
            which = self.head
        known = self.head is None or not isinstance(which, int) or which <= self.head
        return await self._client.block(which) if known else None  # type: ignore[arg-type]

    async def logs(self, first: int, last: int, *asked: Any) -> list[Log]:
        return await self._client.logs(first, min(last, self.head or last), *asked)


async def test_f03_start_at_a_node_behind_the_final_block__not_compared_past_what_it_shows(
    world: World,
) -> None:
    client = Behind(world.client)
    await paid_once(world, client)
    client.head = await world.head()
    await stolen(world, 3)
    gone = await world.head()
    await world.watch(mine=8)
    service = world.service(client=client)
    for _ in range(3):
        with suppress(RpcError):
            await service.tick()
    async with world.ledger.reading() as tx:
        mark = await compared_block(tx, "anvil")
    assert mark is not None
    assert mark < gone
    client.head = None
    await world.rounds(service, 8)
    assert world.observer.count("outflow_adopted") == 1


class Failing(Forgetful):
    """Fails so many times where it is asked what reached the treasury in old blocks."""

    fails = 0
    old = 0

    async def logs(self, *asked: Any) -> list[Log]:
        first, topics = asked[0], asked[3]
        gifts = len(topics) == 3 and topics[1] is None and isinstance(topics[2], bytes)
        if self.fails and gifts and first <= self.old:
            self.fails -= 1
            raise Unreachable("the connection failed")
        return await super().logs(*asked)


async def looks(world: World, service: ChainSettlement, times: int, *, mine: int = 1) -> None:
    """At books and chain: one a minute, with so many blocks in it."""
    for _ in range(times):
        world.clock.advance(61)
        await world.watch(mine=mine)
        with suppress(RpcError):
            await service.tick()


async def test_f07_outflow_that_was_passed_over__first_look_back_fails__the_next_reads_the_same_blocks(
    world: World,
) -> None:
    client = Failing(world.client)
    await paid_once(world, client)
    await stolen(world, 3)
    await world.watch(mine=8)
    client.old = await world.head() - 6
    client.empty = True
    service = world.service(client=client)
    await service.tick()
    client.empty, client.fails = False, 1
    await looks(world, service, 8)
    assert client.fails == 0
    assert world.observer.count("outflow_adopted") == 1


@pytest.mark.usefixtures("narrow", "short_looks")
async def test_f05_second_outflow_that_was_passed_over__looked_for_from_the_newest_block_down_again(
    world: World,
) -> None:
    """The search for the first one ended half-way, when it was found."""
    client = Forgetful(world.client)
    await paid_once(world, client)
    await world.watch(mine=150)
    service = world.service(client=client)
    await looks(world, service, 2)
    for number in (1, 2):
        await stolen(world, 3)
        await world.watch(mine=8)
        client.empty = True
        await looks(world, service, 1)
        client.empty = False
        await looks(world, service, 4)
        assert world.observer.count("outflow_adopted") == number
        await world.watch(mine=200)
        await looks(world, service, 2)
    await world.agrees()


@pytest.mark.usefixtures("narrow", "short_looks")
async def test_f07_difference_without_a_transfer__looked_for_in_portions__its_hold_says_what_ends_it(
    world: World,
) -> None:
    """The hold opened while the search went on, and would say so for ever."""
    client = SpyingClient(world.client)
    await paid_once(world, client)
    await world.watch(mine=150)
    service = world.service(client=client)
    await looks(world, service, 1)
    await destroyed(world, 3)
    await looks(world, service, 12, mine=4)
    assert "3 base units of USDC less than the books" in await breaker_released(world)
    await looks(world, service, 3)
    assert await world.pauses() == []
    await world.agrees()
