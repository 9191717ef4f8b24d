"""A difference that no transfer explains: it stops that token, and a person's word ends it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from chain.anvil import Anvil
from chain.erc20 import encode_balance_of
from chain.model import TRANSFER_TOPIC, Log
from chain.rpc.errors import NodeError, RpcError
from config.units import Hash32, to_hex
from ledger.books import post
from ledger.covers import COVER
from ledger.cursors import start_cursor
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.schema import blocks, chain_cursors
from settlement.reconcile import reconcile
from settlement.service import ChainSettlement
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.lying import about, providers
from tests.chain.settlement.scenes import (
    ONE_DATABASE,
    breaker_released,
    destroyed,
    owner_sends,
    stuck_batch,
    treasury_filled,
)
from tests.chain.settlement.world import CHAIN_ID, World, recipient


async def begin_here(world: World) -> None:
    """As if the daemon saw this chain for the first time: what came before is in no log it reads."""
    head = await world.head()
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(blocks.delete())
        await tx.conn.execute(chain_cursors.delete())
        await start_cursor(tx, "anvil", CHAIN_ID, await world._row(head))


async def minutes(world: World, service: ChainSettlement, ticks: int = 30) -> None:
    for _ in range(ticks):
        await world.watch(mine=1)
        world.clock.advance(7)
        with suppress(RpcError):  # as the daemon does
            assert await service.tick()


@ONE_DATABASE
async def test_treasury_held_tokens_before_the_first_block__released_once__booked_and_paid(
    world: World,
) -> None:
    await world.mint("USDC", world.contracts.treasury, 77)
    await world.mine(5)
    await begin_here(world)
    service = world.service()
    await minutes(world, service)
    assert await world.pauses() == ["payouts:anvil/USDC"]
    reason = await breaker_released(world)
    assert "77 base units of USDC more than the books" in reason
    await minutes(world, service)
    assert await world.pauses() == []
    await world.agrees()
    assert await world.booked(AccountKind.SUSPENSE_IN) == 77
    await treasury_filled(world, service, deposit=5, paid=5)


@ONE_DATABASE
async def test_issuer_destroys_what_the_treasury_holds__released_once__booked_again_stops_again(
    world: World,
) -> None:
    """No Transfer tells of it. Whoever accepted three units has not accepted three more."""
    service = world.service()
    await treasury_filled(world, service, deposit=100)
    for _ in range(2):
        await destroyed(world, 3)
        await minutes(world, service)
        assert await world.pauses() == ["payouts:anvil/USDC"]
        assert "3 base units of USDC less than the books" in await breaker_released(world)
        await minutes(world, service)
        assert await world.pauses() == []
        await world.agrees()
    assert await world.booked(AccountKind.SUSPENSE_OUT) == 6


@ONE_DATABASE
async def test_difference_grows_while_its_hold_waits__released__what_it_named_is_booked_the_rest_stops(
    world: World,
) -> None:
    """Of a balance that changes all the time, no amount would ever be accepted."""
    service = world.service()
    await treasury_filled(world, service, deposit=100)
    await destroyed(world, 3)
    await minutes(world, service)
    await destroyed(world, 2)
    await minutes(world, service)
    for units in (3, 2):
        assert f"{units} base units of USDC less than the books" in await breaker_released(world)
        await minutes(world, service)
    assert await world.pauses() == []
    await world.agrees()


@ONE_DATABASE
async def test_f21_two_batches_in_one_tick_and_money_for_one__the_other_is_not_sealed_and_not_on_hold(
    world: World,
) -> None:
    world.settings = world.settings.model_copy(update={"max_batch": 1})
    service = world.service()
    merchant = await treasury_filled(world, service, deposit=100)
    await destroyed(world, 50)
    both = [await world.promise(merchant, "USDC", 30, recipient(n)) for n in (1, 2)]
    await world.settle(service, world.all_are("paid", both[0]), audit=False)
    assert await world.status(both[1]) == "queued"
    assert [h.object_id for h in await world.holds()] == ["anvil/USDC/treasury"]
    await world.mint("USDC", world.contracts.treasury, 50)
    await world.settle(service, world.all_are("paid", both[1]), audit=False)


class Pruned(SpyingClient):
    """The node keeps the logs of the newest blocks only."""

    kept: int | None = None

    async def logs(self, first: int, *asked: Any) -> list[Log]:
        head = await self._client.block("latest")
        assert head is not None
        if self.kept is not None and first < head.number - self.kept:
            raise NodeError("pruned history unavailable", code=4444, message="pruned history")
        return await self._client.logs(first, *asked)


@ONE_DATABASE
async def test_difference_and_a_node_without_logs_of_old_blocks__stops_all_the_same(
    world: World,
) -> None:
    """What cannot be looked for explains nothing; nor is it known that no transfer explains it."""
    client = Pruned(world.client)
    service = world.service(client=client)
    await treasury_filled(world, service, deposit=100)
    await world.watch(mine=60)
    await minutes(world, service, 10)
    client.kept = 50
    await destroyed(world, 3)
    await minutes(world, service, 24)
    assert await world.pauses() == []  # a node that hiccups is asked again
    await minutes(world, service, 12)
    assert await world.pauses() == ["payouts:anvil/USDC"]
    reason = await breaker_released(world)
    assert "transfers" in reason
    assert "pruned history" in reason
    assert "books them" not in reason


class Inventing(SpyingClient):
    """Shows a transfer to the treasury, and nobody has a receipt of its transaction."""

    invents: Log | None = None

    async def logs(self, *asked: Any) -> list[Log]:
        found = await self._client.logs(*asked)
        to_us = len(asked[3]) == 3 and asked[3][1] is None
        return [*found, self.invents] if self.invents and to_us else found


@ONE_DATABASE
async def test_difference_and_a_provider_that_invents_a_log__stops_after_some_minutes(
    world: World,
) -> None:
    client = Inventing(world.client)
    service = world.service(client=client)
    await treasury_filled(world, service, deposit=100)
    head = await world.head()
    seen = await world.client.logs(0, head, [world.tokens["USDC"]], (TRANSFER_TOPIC,))
    client.invents = replace(seen[-1], tx_hash=Hash32(b"\x13" * 32))
    await destroyed(world, 3)
    await minutes(world, service, 60)
    assert await world.pauses() == []
    await minutes(world, service, 60)
    assert await world.pauses() == ["payouts:anvil/USDC"]


class Counting(SpyingClient):
    """Counts how often it is asked for the logs of old blocks."""

    since = 0
    asked = 0

    async def logs(self, first: int, *asked: Any) -> list[Log]:
        self.asked += first <= self.since
        return await self._client.logs(first, *asked)


@ONE_DATABASE
async def test_difference_that_lasts__old_blocks_are_looked_through_once_an_hour(
    world: World,
) -> None:
    """Each time is hundreds of calls, and whoever can end it may be asleep."""
    client = Counting(world.client)
    await world.mint("USDC", world.contracts.treasury, 77)
    await world.mine(5)
    await begin_here(world)
    client.since = await world.head() + 1
    service = world.service(client=client)
    await minutes(world, service)
    assert await world.pauses() == ["payouts:anvil/USDC"]
    after_stop = client.asked
    assert after_stop > 0
    await minutes(world, service)
    assert client.asked == after_stop
    for _ in range(60):
        world.clock.advance(61)
        await service.tick()
    assert after_stop < client.asked <= 2 * after_stop


@ONE_DATABASE
async def test_accepted_difference__two_providers_tell_other_balances__not_booked_and_both_named(
    world: World, anvil: Anvil
) -> None:
    """One of them would decide how much is gone, by a hold that names its word for it."""
    await treasury_filled(world, deposit=100)
    await destroyed(world, 3)
    world.clock.advance(11)
    asked = to_hex(encode_balance_of(world.contracts.treasury))
    lie = about(asked, 97)
    async with providers(world, anvil, lie, count=2) as client:
        service = world.service(client=client)
        await minutes(world, service)
        assert "2 base units of USDC less than the books" in await breaker_released(world)
        await minutes(world, service)
        assert await world.pauses() == ["payouts:anvil/USDC"]
        (named,) = await world.holds("providers")
        assert "[97]" in named.reason
        assert "[96]" in named.reason
        client.liar.clear()
        await breaker_released(world)
        await minutes(world, service)
        # Two tell that three are gone: two of them were accepted, and the third is asked about.
        assert "1 base units of USDC less than the books" in await breaker_released(world)
        await minutes(world, service)
    assert await world.pauses() == []
    await world.agrees()
    assert await world.holds() == []
    assert await world.booked(AccountKind.SUSPENSE_OUT) == 3


@ONE_DATABASE
async def test_cover_of_an_outflow__two_providers_tell_other_balances__not_taken_back_until_they_agree(
    world: World, anvil: Anvil
) -> None:
    await treasury_filled(world, deposit=100)
    treasury, unknown = (
        AccountRef(kind, "anvil", "USDC")
        for kind in (AccountKind.TREASURY, AccountKind.SUSPENSE_IN)
    )
    async with world.ledger.transaction() as tx:
        cover = Transfer("outflow:some" + COVER, treasury, unknown, 50, "outflow", "some")
        await post(tx, [cover])

    world.clock.advance(11)
    asked = to_hex(encode_balance_of(world.contracts.treasury))
    lie = about(asked, 109)
    async with providers(world, anvil, lie, count=2) as client:
        service = world.service(client=client)
        await minutes(world, service)
        assert await world.booked(AccountKind.SUSPENSE_IN) == 50
        client.liar.clear()
        await minutes(world, service)
    assert await world.booked(AccountKind.SUSPENSE_IN) == 0
    await world.agrees()


@ONE_DATABASE
async def test_reconcile__a_batch_waits_since_long_ago__no_logs_are_read_for_it(
    world: World,
) -> None:
    """Somebody else may run it: the treasury says whether anybody has."""
    _, _, stuck = await stuck_batch(world)
    await world.watch(mine=3)
    client = Counting(world.client)
    client.since = 2**60
    found = await reconcile(client, world.ledger, world.contracts)  # type: ignore[arg-type]
    assert found is not None
    assert (found.agrees, client.asked) == (True, 0)
    await owner_sends(world, stuck.calldata)
    await world.watch(mine=1)
    found = await reconcile(client, world.ledger, world.contracts)  # type: ignore[arg-type]
    assert found is not None
    assert (found.agrees, client.asked) == (True, 1)
