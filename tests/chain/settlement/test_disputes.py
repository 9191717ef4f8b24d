"""Providers that differ for good, have no old state, or keep what they are sent: it waits aloud."""

from __future__ import annotations

from typing import Any

from chain.anvil import Anvil
from chain.artifacts import load_artifact
from chain.model import BlockRef, TxRequest
from chain.multicall import MULTICALL3
from chain.rpc.errors import NodeBehind
from config.units import Address, Hash32, checksum, to_hex
from ledger.lanes import open_lane
from settlement.native import native_row
from settlement.service import ChainSettlement
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.lying import providers
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    epoch_raised,
    funded,
    minutes,
    rich,
    stuck_batch,
    until_sent,
)
from tests.chain.settlement.world import World, recipient
from tests.support.fault_proxy import Fault, Kind

pytestmark = ONE_DATABASE


def nonce_lie(sender: Address) -> Fault:
    return Fault(Kind.answers, {"eth_getTransactionCount"}, value="0x63", naming=to_hex(sender))


async def under_one_lease(world: World, service: ChainSettlement, seconds: int) -> None:
    """So long, without its lease running out."""
    for _ in range(-(-seconds // 8)):
        world.clock.advance(8)
        await service.tick()


async def disputes(world: World) -> list[Any]:
    return await world.holds("providers")


async def test_f18_two_providers_differ_about_an_idle_nonce__hold_names_both__ends_when_they_agree(
    world: World, anvil: Anvil
) -> None:
    merchant = await rich(world, "USDC")
    async with providers(world, anvil, count=2) as client:
        service = world.service(client=client)
        await service.tick()
        lie = nonce_lie(world.keys.sponsor("payouts").address)
        client.liar.add(lie)
        payout = await world.promise(merchant, "USDC", 10**6, recipient(3))
        await service.tick()
        await world.watch(mine=1)
        assert await disputes(world) == [], "one of them may just be behind"
        await under_one_lease(world, service, 64)
        (hold,) = await disputes(world)
        assert hold.object_id == "anvil/providers/nonce of payouts"
        assert all(f"{name} tells" in hold.reason for name in client.providers)
        assert await world.status(payout) == "batched"
        client.liar.clear()
        await world.settle(service, world.all_are("paid", payout))
    assert await disputes(world) == []


async def last_sent(world: World, count: int) -> Hash32:
    """The newest of so many attempts on one nonce."""
    attempts = await world.attempts("sweeps")
    assert [a.attempt for a in attempts] == list(range(count))
    return attempts[-1].tx_hash


async def test_f14_f17_provider_keeps_what_it_is_sent_and_lies_about_the_nonce__given_to_the_other(
    world: World, anvil: Anvil
) -> None:
    """It says that it has the bytes, and passes them on to nobody; then that the nonce is used."""
    payout = await funded(world)
    async with providers(world, anvil, count=2) as client:
        keeps = Fault(Kind.kept)
        client.liar.add(keeps)
        service = world.service(client=client)
        await world.automine(False)
        await until_sent(world, service, "sweeps")
        await under_one_lease(world, service, 32)
        assert (await world.client.transaction_block(await last_sent(world, 2)))[0]
        client.liar.add(nonce_lie(world.keys.sponsor("sweeps").address))
        await under_one_lease(world, service, 32)
        assert (await world.client.transaction_block(await last_sent(world, 3)))[0]
        await world.automine(True)
        client.liar.clear()
        await world.settle(service, world.all_are("paid", payout))
    assert keeps.struck > 1


class Pruned(SpyingClient):
    """Has the state of the head, and of no block that is named by its height."""

    async def call(self, tx: TxRequest, block: BlockRef = "latest") -> bytes:
        if isinstance(block, int):
            raise NodeBehind("missing trie node", where="anvil")
        return await self._client.call(tx, block)


async def test_f18_epoch_raised_and_no_node_has_the_final_state__given_up_by_its_log__paid_once(
    world: World,
) -> None:
    payout, _, _ = await stuck_batch(world)
    await epoch_raised(world)
    await world.fund_sponsor("payouts", 10**20)
    world.clock.advance(11)
    service = world.service(client=Pruned(world.client))
    await service.tick()
    assert await world.payout_batches() == [(0, 0, "sealed")], "the raise is not final yet"
    await world.settle(service, world.all_are("paid", payout))
    assert await world.payout_batches() == [(0, 0, "void"), (1, 0, "final")]
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
    assert [h for h in await world.holds() if "batch_" in h.object_id] == []


async def test_native__many_addresses__one_call_where_multicall3_is_else_each_by_itself(
    world: World,
) -> None:
    service = world.service()
    await service.tick()
    for number in range(20):
        account = Address(bytes([0xAA]) * 19 + bytes([number]))
        await world.fund(account, number)
        async with world.ledger.transaction() as tx:
            await open_lane(tx, "anvil", f"deposit:{number}", account, 0)
    await minutes(world, service)
    spy = SpyingClient(world.client)
    asked: list[int] = []

    async def balances(addresses: list[Address], block: BlockRef = "latest") -> list[int]:
        asked.append(len(addresses))
        return await world.client.balances(addresses, block)

    spy.balances = balances  # type: ignore[attr-defined]
    sponsors = [world.keys.sponsor("sweeps").address, world.keys.sponsor("payouts").address]
    found = []
    for code in (b"", load_artifact("Multicall").runtime):
        await world.rpc.call("anvil_setCode", checksum(MULTICALL3), to_hex(code))
        await world.watch(mine=4)
        row = await native_row(spy, world.ledger, "ETH", sponsors)  # type: ignore[arg-type]
        assert row is not None
        found.append((row.chain, row.difference))
    assert found[0] == found[1]
    assert asked == [22], "the first time only"
