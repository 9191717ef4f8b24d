"""One provider of three lies about state, and is the first one asked: nothing is paid twice, and
what a lie would decide for good is decided by two who tell the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from chain.abi import encode_call, selector
from chain.anvil import Anvil
from chain.client import ChainClient
from chain.erc20 import encode_transfer
from chain.helper_contracts import EPOCH_RAISED, executed_topics
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport
from config.units import Amount, to_hex
from ledger.holds import open_holds
from ledger.schema import batches, events
from tests.chain.settlement.test_breaker import minutes
from tests.chain.settlement.test_faults import AMOUNT, funded, until_sent
from tests.chain.settlement.test_lanes import owner_sends, rows, stuck_batch
from tests.chain.settlement.world import CHAIN_ID, PAYER, World, recipient
from tests.support.dev_chain import dev_account
from tests.support.fault_proxy import Fault, FaultProxy, Kind

pytestmark = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
RAN = executed_topics(0, 0)[0]
EXECUTED, EPOCH, PAUSED = (
    to_hex(selector(s)) for s in ("executed(uint64,uint256)", "epoch()", "paused()")
)


class Several(ChainClient):
    """A chain over several providers; what the first one, ``liar``, does wrong can be changed."""

    liar: FaultProxy


@asynccontextmanager
async def providers(
    world: World, anvil: Anvil, *faults: Fault, count: int = 3
) -> AsyncIterator[Several]:
    """The first one has the faults."""
    async with (
        FaultProxy(anvil.rpc_url) as liar, FaultProxy(anvil.rpc_url) as other,
        aiohttp.ClientSession() as session,
    ):  # fmt: skip
        for fault in faults:
            liar.add(fault)
        urls = [liar.url, other.url, anvil.rpc_url][:count]
        pool = RpcPool(
            "anvil", CHAIN_ID, urls,
            transport=AiohttpTransport(session), clock=world.clock, entropy=world.ledger.entropy,
        )  # fmt: skip
        client = Several(pool)
        client.liar = liar
        yield client


def about(call: str, answer: int) -> Fault:
    return Fault(Kind.answers, {"eth_call"}, value=f"0x{answer:064x}", naming=call)


async def told(world: World) -> list[str]:
    return [e.type for e in await rows(world, events) if e.type.startswith("payout.")]


async def payout_batches(world: World) -> list[tuple[int, int, str]]:
    found = [b for b in await rows(world, batches) if b.purpose == "payout"]
    return [(b.epoch, b.onchain_id, b.status) for b in found]


async def test_f18_ran_before_the_epoch_was_raised__one_provider_says_it_did_not__not_given_up(
    world: World, anvil: Anvil
) -> None:
    """Given up, its payouts would be paid again under a new id."""
    payout, _, stuck = await stuck_batch(world)
    await owner_sends(world, stuck.calldata)
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))
    await world.mint("USDC", world.contracts.treasury, AMOUNT)
    await world.fund(world.keys.sponsor("payouts").address, 10**20)
    lie = about(EXECUTED, 0)
    async with providers(world, anvil, lie) as client:
        service = world.service(client=client)
        await world.settle(service, world.all_are("paid", payout), audit=False)
    assert lie.struck > 0
    assert await payout_batches(world) == [(0, 0, "final")]
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT


async def test_f18_log_of_the_treasury_that_cannot_be__its_provider_is_doubted__another_one_asked(
    world: World, anvil: Anvil
) -> None:
    """In the receipt that ends an epoch, and among the batches that ran."""
    payout, _, _ = await stuck_batch(world)
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))
    await world.fund(world.keys.sponsor("payouts").address, 10**20)
    lies = [Fault(Kind.cut_data, value=to_hex(topic)) for topic in (EPOCH_RAISED, RAN)]
    async with providers(world, anvil, *lies) as client:
        service = world.service(client=client)
        await world.settle(service, world.all_are("paid", payout), audit=False)
    assert [lie.struck > 0 for lie in lies] == [True, True]
    assert await payout_batches(world) == [(0, 0, "void"), (1, 0, "final")]


async def test_restart__the_other_of_two_providers_stopped_long_ago__paid_all_the_same(
    world: World, anvil: Anvil
) -> None:
    """It answers, from a block below the final one: that is no second opinion about now."""
    first = await funded(world)
    await world.settle(world.service(), world.all_are("paid", first))
    second = await funded(world)
    world.clock.advance(11)
    async with FaultProxy(anvil.rpc_url) as stopped, aiohttp.ClientSession() as session:
        old = stopped.add(Fault(Kind.answers, {"eth_getTransactionCount"}, value="0x0"))
        stopped.add(Fault(Kind.null_block, {"eth_getBlockByNumber"}))
        stopped.add(Fault(Kind.null_receipt))
        pool = RpcPool(
            "anvil", CHAIN_ID, [anvil.rpc_url, stopped.url],
            transport=AiohttpTransport(session), clock=world.clock, entropy=world.ledger.entropy,
        )  # fmt: skip
        service = world.service(client=ChainClient(pool))
        await world.settle(service, world.all_are("paid", second), audit=False)
    assert old.struck > 0


async def test_restart__two_providers_in_step_differ__follows_what_is_in_flight_and_says_so(
    world: World, anvil: Anvil
) -> None:
    await funded(world)
    service = world.service()
    await until_sent(world, service, "sweeps")
    world.clock.advance(11)
    async with FaultProxy(anvil.rpc_url) as liar, aiohttp.ClientSession() as session:
        liar.add(Fault(Kind.answers, {"eth_getTransactionCount"}, value="0x63"))
        pool = RpcPool(
            "anvil", CHAIN_ID, [anvil.rpc_url, liar.url],
            transport=AiohttpTransport(session), clock=world.clock, entropy=world.ledger.entropy,
        )  # fmt: skip
        service = world.service(client=ChainClient(pool))
        for _ in range(9):
            await service.tick()
            await world.watch(mine=1)
    assert ("sweep", "final") in [(b.purpose, b.status) for b in await rows(world, batches)]
    async with world.ledger.reading() as tx:
        assert "anvil/comparison" in {h.object_id for h in await open_holds(tx)}


async def test_sealing__one_provider_tells_another_epoch__signed_for_the_one_that_two_tell(
    world: World, anvil: Anvil
) -> None:
    """A batch of an epoch that is still to come would wait for it, and all others behind it."""
    payout = await funded(world)
    lie = about(EPOCH, 1)
    async with providers(world, anvil, lie) as client:
        await world.settle(world.service(client=client), world.all_are("paid", payout))
    assert lie.struck > 0
    assert await payout_batches(world) == [(0, 0, "final")]


@pytest.mark.parametrize("first", [True, False], ids=["first-asked", "second-asked"])
async def test_start__one_of_two_providers_denies_a_strangers_gift__other_tokens_are_paid(
    world: World, anvil: Anvil, first: bool
) -> None:
    """A transfer of strangers and a provider that leaves it out must not stop a chain."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDT", AMOUNT)
    await minutes(world, world.service())
    gift = encode_transfer(world.contracts.treasury, Amount(77))
    given = await world.dev.must(dev_account(PAYER), world.tokens["USDC"], gift)
    await world.watch(mine=8)
    payout = await world.promise(merchant, "USDT", AMOUNT, recipient(7))
    world.clock.advance(11)
    async with FaultProxy(anvil.rpc_url) as liar, aiohttp.ClientSession() as session:
        hidden = to_hex(given.tx_hash)
        liar.add(Fault(Kind.null_receipt, {"eth_getTransactionReceipt"}, naming=hidden))
        urls = [liar.url, anvil.rpc_url] if first else [anvil.rpc_url, liar.url]
        pool = RpcPool(
            "anvil", CHAIN_ID, urls,
            transport=AiohttpTransport(session), clock=world.clock, entropy=world.ledger.entropy,
        )  # fmt: skip
        service = world.service(client=ChainClient(pool))
        await minutes(world, service)
        assert (await world.payout(payout))["status"] == "paid"
        liar.clear()
        await minutes(world, service)
    await world.agrees()


@pytest.mark.parametrize("share", [1.0, 0.5], ids=["always", "by-turns"])
async def test_f21_one_of_three_providers_says_that_the_token_is_paused__swept_and_paid(
    world: World, anvil: Anvil, share: float
) -> None:
    payout = await funded(world)
    lie = about(PAUSED, 1)
    lie.share = share
    async with providers(world, anvil, lie) as client:
        await world.settle(world.service(client=client), world.all_are("paid", payout))
    assert lie.struck > 0
    assert "payout.on_hold" not in await told(world)


async def test_f21_two_providers_differ_about_a_pause__nothing_is_sealed_nor_on_hold_and_both_named(
    world: World, anvil: Anvil
) -> None:
    """On hold and queued again by turns, each payout would tell its merchant so at each look."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    second = await world.promise(merchant, "USDC", 2, recipient(1))
    world.clock.advance(11)
    async with providers(world, anvil, about(PAUSED, 1), count=2) as client:
        service = world.service(client=client)
        for _ in range(12):
            world.clock.advance(8)
            await world.watch(mine=1)
            await service.tick()
        assert (await world.payout(second))["status"] == "queued"
        async with world.ledger.reading() as tx:
            assert [h.object_id for h in await open_holds(tx)] == ["anvil/providers/pause of USDC"]
        client.liar.clear()
        await world.settle(service, world.all_are("paid", second))
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []
    assert "payout.on_hold" not in await told(world)
