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
from ledger.holds import open_holds
from ledger.pauses import pause, resume
from ledger.schema import batches
from tests.chain.settlement.test_breaker import OtherReceipts, pauses
from tests.chain.settlement.test_faults import AMOUNT, funded
from tests.chain.settlement.test_lanes import rows, stuck_batch
from tests.chain.settlement.test_lies import EPOCH, about, providers
from tests.chain.settlement.world import SpyingClient, World, recipient
from tests.support.fault_proxy import Fault, Kind

pytestmark = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
SIMULATE = to_hex(selector("simulate(address,bytes)"))


async def rich(world: World, *symbols: str) -> str:
    """A merchant whose money is in the treasury for good, and more of it than was paid out."""
    merchant = await world.merchant()
    for symbol in symbols:
        await world.paid_invoice(merchant, symbol, 10**13)
    await world.watch(mine=4)
    first = [await world.promise(merchant, symbol, 10**6, recipient(1)) for symbol in symbols]
    await world.settle(world.service(), world.all_are("paid", *first))
    world.clock.advance(11)
    return merchant


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
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    waits = await world.promise(merchant, "DAI", 10**6, recipient(2))
    payout = await world.promise(merchant, "USDC", 10**6, recipient(3))
    sealed = await world.promise(merchant, "USDC", 10**6, recipient(4))
    service = world.service(client=Troubled(world.client, world))
    for _ in range(12):
        with pytest.raises(Unreachable, match="no estimate"):
            await service.tick()
        await world.watch(mine=1)
    assert await world.all_are("paid", payout, sealed)()
    assert (await world.payout(waits))["status"] == "queued"
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
        if await pauses(world):
            break
        await world.watch(mine=1)
    assert await pauses(world) == ["payouts:anvil"]
    assert (await world.payout(last))["status"] == "queued"


async def test_token_is_stopped__what_was_sealed_before_waits__other_tokens_go(
    world: World,
) -> None:
    payout, service, _ = await stuck_batch(world)
    async with world.ledger.transaction() as tx:
        await pause(tx, "payouts:anvil/USDC", "the breaker")
    await world.fund(world.keys.sponsor("payouts").address, 10**20)
    other = await funded(world, "DAI")
    await world.settle(service, world.all_are("paid", other))
    assert (await world.payout(payout))["status"] == "batched"
    async with world.ledger.transaction() as tx:
        await resume(tx, "payouts")
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
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []


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
    for _ in range(3):
        await service.tick()
        await world.watch(mine=1)
    head = await world.client.block("latest")
    assert head is not None
    payout = await funded(world)
    client.at = head.number
    for _ in range(3):
        await service.tick()
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []
    assert [b for b in await rows(world, batches) if b.purpose == "sweep"] == []
    client.at = None
    await world.settle(service, world.all_are("paid", payout))
