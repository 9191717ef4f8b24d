"""A difference that no transfer explains: it stops that token, and a person's word ends it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from chain.anvil import Anvil
from chain.erc20 import encode_balance_of
from chain.model import TRANSFER_TOPIC, Log
from chain.rpc.errors import NodeError, RpcError
from config.units import Hash32, to_hex
from ledger.books import post, totals_of
from ledger.covers import COVER
from ledger.cursors import start_cursor
from ledger.holds import open_holds, release_hold
from ledger.pauses import active_pauses
from ledger.postings import AccountKind, AccountRef, Transfer, balance
from ledger.schema import blocks, chain_cursors
from settlement.reconcile import reconcile
from settlement.service import ChainSettlement
from tests.chain.settlement.test_lanes import owner_sends, stuck_batch
from tests.chain.settlement.test_lies import providers
from tests.chain.settlement.world import CHAIN_ID, SpyingClient, World, recipient
from tests.support.fault_proxy import Fault, Kind


async def begin_here(world: World) -> None:
    """As if the daemon saw this chain for the first time: what came before is in no log it reads."""
    head = int(await world.rpc.call("eth_blockNumber"), 16)
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


async def destroyed(world: World, units: int) -> None:
    """The treasury's balance is less, and no log says so (slot 3 of the test tokens)."""
    treasury, token = world.contracts.treasury, world.tokens["USDC"]
    slot = keccak(treasury.rjust(32, b"\0") + (3).to_bytes(32))
    left = await world.held("USDC", treasury) - units
    await world.rpc.call(
        "anvil_setStorageAt", to_hex(token), to_hex(slot), to_hex(left.to_bytes(32))
    )


async def pauses(world: World) -> list[str]:
    async with world.ledger.reading() as tx:
        return [p.scope for p in await active_pauses(tx)]


async def release(world: World) -> str:
    async with world.ledger.transaction() as tx:
        (hold,) = [h for h in await open_holds(tx) if h.object_type == "breaker"]
        await release_hold(tx, hold.id)
    return hold.reason


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_treasury_held_tokens_before_the_first_block__released_once__booked_and_paid(
    world: World,
) -> None:
    await world.mint("USDC", world.contracts.treasury, 77)
    await world.mine(5)
    await begin_here(world)
    service = world.service()
    await minutes(world, service)
    assert await pauses(world) == ["payouts:anvil/USDC"]
    reason = await release(world)
    assert "77 base units of USDC more than the books" in reason
    await minutes(world, service)
    assert await pauses(world) == []
    await world.agrees()
    async with world.ledger.reading() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_IN, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 77
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 5)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 5, recipient(1))
    await world.settle(service, world.all_are("paid", payout))


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_issuer_destroys_what_the_treasury_holds__released_once__booked_again_stops_again(
    world: World,
) -> None:
    """No Transfer tells of it. Whoever accepted three units has not accepted three more."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    service = world.service()
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    for _ in range(2):
        await destroyed(world, 3)
        await minutes(world, service)
        assert await pauses(world) == ["payouts:anvil/USDC"]
        assert "3 base units of USDC less than the books" in await release(world)
        await minutes(world, service)
        assert await pauses(world) == []
        await world.agrees()
    async with world.ledger.reading() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_OUT, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 6


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_difference_grows_while_its_hold_waits__released__what_it_named_is_booked_the_rest_stops(
    world: World,
) -> None:
    """Of a balance that changes all the time, no amount would ever be accepted."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    service = world.service()
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    await destroyed(world, 3)
    await minutes(world, service)
    await destroyed(world, 2)
    await minutes(world, service)
    for units in (3, 2):
        assert f"{units} base units of USDC less than the books" in await release(world)
        await minutes(world, service)
    assert await pauses(world) == []
    await world.agrees()


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f21_two_batches_in_one_tick_and_money_for_one__the_other_is_not_sealed_and_not_on_hold(
    world: World,
) -> None:
    world.settings = world.settings.model_copy(update={"max_batch": 1})
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    service = world.service()
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    await destroyed(world, 50)
    both = [await world.promise(merchant, "USDC", 30, recipient(n)) for n in (1, 2)]
    await world.settle(service, world.all_are("paid", both[0]), audit=False)
    assert (await world.payout(both[1]))["status"] == "queued"
    async with world.ledger.reading() as tx:
        assert [h.object_id for h in await open_holds(tx)] == ["anvil/USDC/treasury"]
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


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_difference_and_a_node_without_logs_of_old_blocks__stops_all_the_same(
    world: World,
) -> None:
    """What cannot be looked for explains nothing; nor is it known that no transfer explains it."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    client = Pruned(world.client)
    service = world.service(client=client)
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    await world.watch(mine=60)
    await minutes(world, service, 10)
    client.kept = 50
    await destroyed(world, 3)
    await minutes(world, service, 24)
    assert await pauses(world) == []  # a node that hiccups is asked again
    await minutes(world, service, 12)
    assert await pauses(world) == ["payouts:anvil/USDC"]
    reason = await release(world)
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


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_difference_and_a_provider_that_invents_a_log__stops_after_some_minutes(
    world: World,
) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    client = Inventing(world.client)
    service = world.service(client=client)
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    head = int(await world.rpc.call("eth_blockNumber"), 16)
    seen = await world.client.logs(0, head, [world.tokens["USDC"]], (TRANSFER_TOPIC,))
    client.invents = replace(seen[-1], tx_hash=Hash32(b"\x13" * 32))
    await destroyed(world, 3)
    await minutes(world, service, 60)
    assert await pauses(world) == []
    await minutes(world, service, 60)
    assert await pauses(world) == ["payouts:anvil/USDC"]


class Counting(SpyingClient):
    """Counts how often it is asked for the logs of old blocks."""

    since = 0
    asked = 0

    async def logs(self, first: int, *asked: Any) -> list[Log]:
        self.asked += first <= self.since
        return await self._client.logs(first, *asked)


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_difference_that_lasts__old_blocks_are_looked_through_once_an_hour(
    world: World,
) -> None:
    """Each time is hundreds of calls, and whoever can end it may be asleep."""
    client = Counting(world.client)
    await world.mint("USDC", world.contracts.treasury, 77)
    await world.mine(5)
    await begin_here(world)
    client.since = int(await world.rpc.call("eth_blockNumber"), 16) + 1
    service = world.service(client=client)
    await minutes(world, service)
    assert await pauses(world) == ["payouts:anvil/USDC"]
    after_stop = client.asked
    assert after_stop > 0
    await minutes(world, service)
    assert client.asked == after_stop
    for _ in range(60):
        world.clock.advance(61)
        await service.tick()
    assert after_stop < client.asked <= 2 * after_stop


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_accepted_difference__two_providers_tell_other_balances__not_booked_and_both_named(
    world: World, anvil: Anvil
) -> None:
    """One of them would decide how much is gone, by a hold that names its word for it."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    await destroyed(world, 3)
    world.clock.advance(11)
    asked = to_hex(encode_balance_of(world.contracts.treasury))
    lie = Fault(Kind.answers, {"eth_call"}, value=f"0x{97:064x}", naming=asked)
    async with providers(world, anvil, lie, count=2) as client:
        service = world.service(client=client)
        await minutes(world, service)
        assert "2 base units of USDC less than the books" in await release(world)
        await minutes(world, service)
        assert await pauses(world) == ["payouts:anvil/USDC"]
        async with world.ledger.reading() as tx:
            (named,) = [h for h in await open_holds(tx) if h.object_type == "providers"]
        assert "[97]" in named.reason
        assert "[96]" in named.reason
        client.liar.clear()
        await release(world)
        await minutes(world, service)
        # Two tell that three are gone: two of them were accepted, and the third is asked about.
        assert "1 base units of USDC less than the books" in await release(world)
        await minutes(world, service)
    assert await pauses(world) == []
    await world.agrees()
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []
        ref = AccountRef(AccountKind.SUSPENSE_OUT, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 3


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_cover_of_an_outflow__two_providers_tell_other_balances__not_taken_back_until_they_agree(
    world: World, anvil: Anvil
) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 100)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    treasury, unknown = (
        AccountRef(kind, "anvil", "USDC")
        for kind in (AccountKind.TREASURY, AccountKind.SUSPENSE_IN)
    )
    async with world.ledger.transaction() as tx:
        cover = Transfer("outflow:some" + COVER, treasury, unknown, 50, "outflow", "some")
        await post(tx, [cover])

    async def covered() -> int:
        async with world.ledger.reading() as tx:
            return balance(unknown.kind, (await totals_of(tx, [unknown]))[unknown])

    world.clock.advance(11)
    asked = to_hex(encode_balance_of(world.contracts.treasury))
    lie = Fault(Kind.answers, {"eth_call"}, value=f"0x{109:064x}", naming=asked)
    async with providers(world, anvil, lie, count=2) as client:
        service = world.service(client=client)
        await minutes(world, service)
        assert await covered() == 50
        client.liar.clear()
        await minutes(world, service)
    assert await covered() == 0
    await world.agrees()


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
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
