"""One thing's trouble does not keep the others waiting, and what stops payouts stops all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chain.abi import selector
from chain.anvil import Anvil
from chain.client import ChainClient
from chain.erc20 import encode_paused
from chain.model import BlockRef, TxRequest
from chain.rpc.errors import CallReverted, NodeError, Unreachable
from config.units import Address, to_hex
from ledger.schema import batches
from tests.chain.settlement.clients import OtherReceipts, SpyingClient
from tests.chain.settlement.lying import EPOCH, about, providers
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, funded, rich, stuck_batch
from tests.chain.settlement.world import World, recipient
from tests.support.fault_proxy import Fault, Kind

pytestmark = ONE_DATABASE
SIMULATE = to_hex(selector("simulate(address,bytes)"))


class Troubled(SpyingClient):
    """Of sweeps no provider tells the gas, and one token's contract breaks them."""

    def __init__(self, client: ChainClient, world: World) -> None:
        super().__init__(client)
        self._world = world

    async def estimate_gas(self, tx: TxRequest) -> int:
        if tx.to == self._world.contracts.collector:
            raise Unreachable("no estimate", where="anvil")
        return await self._client.estimate_gas(tx)

    async def calls(
        self, txs: Sequence[TxRequest], block: BlockRef = "latest"
    ) -> list[bytes | CallReverted]:
        if any((tx.to, tx.data) == (self._world.tokens["DAI"], encode_paused()) for tx in txs):
            raise NodeError("out of gas", where="anvil")
        return await self._client.calls(txs, block)


async def test_f09_no_estimate_of_a_sweep_and_a_token_that_breaks_nodes__others_are_paid(
    world: World,
) -> None:
    merchant = await rich(world, "USDC", "DAI")
    await world.deposited(merchant, "USDC", AMOUNT)
    waits = await world.promise(merchant, "DAI", 10**6, recipient(2))
    payout = await world.promise(merchant, "USDC", 10**6, recipient(3))
    sealed = await world.promise(merchant, "USDC", 10**6, recipient(4))
    service = world.service(client=Troubled(world.client, world))
    for _ in range(12):
        with pytest.raises(Unreachable, match="no estimate"):
            await service.tick()
        await world.watch(mine=1)
    assert await world.all_are("paid", payout, sealed)()
    assert await world.status(waits) == "queued"
    assert world.observer.count("part_failed_too") > 0
    await service._guarded_tick()
    assert "no estimate" in (service.status().last_error or ""), "readiness knows of it"


async def test_breaker_trips_while_following__nothing_leaves_in_that_tick(world: World) -> None:
    merchant = await rich(world, "USDC")
    await world.promise(merchant, "USDC", 10**6, recipient(1))
    client = OtherReceipts(world.client, world.tokens["USDC"], world.contracts.treasury)
    service = world.service(client=client)
    for _ in range(20):
        last = await world.promise(merchant, "USDC", 1, recipient(2))
        await service.tick()
        if await world.pauses():
            break
        await world.watch(mine=1)
    assert await world.pauses() == ["payouts:anvil"]
    assert await world.status(last) == "queued"


async def test_token_is_stopped__what_was_sealed_before_waits__other_tokens_go(
    world: World,
) -> None:
    payout, service, _ = await stuck_batch(world)
    await world.pause("payouts:anvil/USDC", "the breaker")
    await world.fund_sponsor("payouts", 10**20)
    other = await funded(world, "DAI")
    await world.settle(service, world.all_are("paid", other))
    assert await world.status(payout) == "batched"
    await world.resume("payouts")
    await world.settle(service, world.all_are("paid", payout))


async def test_f05_first_provider_answers_calls_as_before_the_contracts__paid_and_nobody_on_hold(
    world: World, anvil: Anvil
) -> None:
    """It would put each payout on hold, until a person has released one after the other."""
    merchant = await rich(world, "USDC")
    payout = await world.promise(merchant, "USDC", 10**6, recipient(3))
    lie = about(SIMULATE, 0)
    none = Fault(Kind.answers, {"eth_call"}, value="0x", naming=EPOCH)
    deposit = to_hex(await world.paid_invoice(merchant, "USDC", AMOUNT))
    used = Fault(Kind.answers, {"eth_getTransactionCount"}, value="0x1", naming=deposit)
    async with providers(world, anvil, lie, none, used) as client:
        await world.settle(world.service(client=client), world.all_are("paid", payout), rounds=60)
    assert min(fault.struck for fault in (lie, none, used)) > 0
    assert await world.holds() == []


class Behind(SpyingClient):
    """Answers about state as of a block of the past."""

    at: int | None = None

    async def calls(
        self, txs: Sequence[TxRequest], block: BlockRef = "latest"
    ) -> list[bytes | CallReverted]:
        return await self._client.calls(txs, self._then(block))

    async def token_balances(
        self, token: Address, owners: Sequence[Address], block: BlockRef = "latest"
    ) -> list[int]:
        return await self._client.token_balances(token, owners, self._then(block))

    def _then(self, block: BlockRef) -> BlockRef:
        return self.at if self.at is not None and block == "latest" else block


async def test_f03_node_without_the_money_yet__deposit_is_not_held__swept_when_it_is_seen(
    world: World,
) -> None:
    client = Behind(world.client)
    service = world.service(client=client)
    await world.rounds(service, 3)
    head = await world.client.block("latest")
    assert head is not None
    payout = await funded(world)
    client.at = head.number
    for _ in range(3):
        await service.tick()
    assert await world.holds() == []
    assert [b for b in await world.rows(batches) if b.purpose == "sweep"] == []
    client.at = None
    await world.settle(service, world.all_are("paid", payout))
