"""Chains without EIP-7702: gas to the deposit address, then its own transfer."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from chain.model import FeeQuote, TxRequest
from chain.rpc.errors import NodeError
from config.units import checksum
from ledger.attempts import committed_wei, open_attempts
from ledger.holds import open_holds, release_hold
from ledger.schema import batches
from settlement.support7702 import supports_7702
from tests.chain.settlement.world import (
    Crash,
    CrashingLedger,
    SpyingClient,
    World,
    build_world,
    recipient,
)

AMOUNT = 5_000001
ONE_TOP_UP = 12 * 10**13
"""What one may take at its highest price, wei, gas for the token's transfer in it."""
ONE_DATABASE = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)


async def _world(anvil: Anvil, rpc: DevRpc, client: ChainClient, url: str) -> World:
    return await build_world(rpc, anvil.rpc_url, client, url, supports_7702=False)


async def test_fallback__deposits_swept_by_their_own_keys__paid(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    for symbol in ("USDC", "USDT"):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.watch(mine=4)
    ids = [await world.promise(merchant, s, AMOUNT, recipient(1)) for s in ("USDC", "USDT")]
    await world.settle(world.service(), world.all_are("paid", *ids))
    async with world.ledger.reading() as tx:
        query = sa.select(batches.c.purpose, batches.c.status).order_by(batches.c.id)
        found = [tuple(row) for row in await tx.conn.execute(query)]
    assert (
        sorted(found)
        == [("payout", "final")] * 2 + [("top_up", "final")] * 2 + [("transfer", "final")] * 2
    )
    await world.ledger.dispose()


async def test_f13_fallback__dies_at_every_other_write__moved_once(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    for writes in range(2, 40, 2):
        ledger = CrashingLedger(world.ledger, writes, committed=writes % 4 == 0)
        try:
            await world.settle(world.service(ledger=ledger), world.all_are("paid", payout))
        except Crash:
            world.clock.advance(11)
            continue
        break
    assert await world.held("USDC", recipient(1)) == AMOUNT
    await world.agrees()
    await world.ledger.dispose()


@ONE_DATABASE
async def test_fallback__sponsor_cannot_even_send_the_top_up__payouts_go_on_and_it_says_so(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    """A node refuses to estimate a transfer of coin that is not there. Anvil does not."""

    async def estimated(asked: TxRequest) -> int:
        if asked.sender is not None and asked.value > await client.balance(asked.sender):
            message = "insufficient funds for transfer"
            raise NodeError(message, where="anvil", message=message)
        return await client.estimate_gas(asked)

    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", AMOUNT // 2, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    await world.fund(world.keys.sponsor("sweeps").address, 1)
    await world.paid_invoice(merchant, "USDT", AMOUNT)
    await world.watch(mine=4)
    world.clock.advance(11)
    waits = await world.promise(merchant, "USDT", AMOUNT, recipient(1))
    second = await world.promise(merchant, "USDC", AMOUNT // 4, recipient(1))
    strict = SpyingClient(world.client)
    strict.estimate_gas = estimated
    await world.settle(world.service(client=strict), world.all_are("paid", second))
    assert (await world.payout(waits))["status"] == "queued"
    async with world.ledger.reading() as tx:
        assert "anvil/sweeps/gas" in {h.object_id for h in await open_holds(tx)}
    await world.ledger.dispose()


@ONE_DATABASE
async def test_fallback__sponsor_can_pay_for_one_of_two_in_flight__the_other_takes_no_nonce(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    for _ in range(2):
        await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 2 * AMOUNT, recipient(1))
    sponsor = world.keys.sponsor("sweeps").address
    await world.fund(sponsor, ONE_TOP_UP * 3 // 2)
    await dev_rpc.call("evm_setAutomine", False)
    service = world.service()
    for _ in range(4):
        await service.tick()
    async with world.ledger.reading() as tx:
        (only,) = await open_attempts(tx, "anvil")
        wei = await committed_wei(tx, "anvil", sponsor)
    assert ONE_TOP_UP * 3 // 4 < wei < ONE_TOP_UP * 5 // 4
    assert (only.lane, only.nonce) == ("sweeps", 0)
    assert world.observer.count("sponsor_empty") > 0
    await world.fund(sponsor, 10**18)
    await world.settle(service, world.all_are("paid", payout))
    await world.ledger.dispose()


@ONE_DATABASE
@pytest.mark.parametrize(("times", "goes"), [(2, True), (4, False)], ids=["twice", "four_times"])
async def test_f15_fallback__gas_costs_more_since_it_was_given__goes_while_that_pays_for_a_block(
    anvil: Anvil,
    dev_rpc: DevRpc,
    client: ChainClient,
    migrated_url: str,
    times: int,
    goes: bool,
) -> None:
    """Three times the base fee was given: the usual first offer, twice what it is now, is more."""
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    sealed_at = await client.fees()
    await world.service().tick()

    async def dearer() -> FeeQuote:
        return FeeQuote(times * sealed_at.base_fee, sealed_at.tip)

    dear = SpyingClient(world.client)
    dear.fees = dearer
    service = world.service(client=dear)
    if goes:
        await world.settle(service, world.all_are("paid", payout))
    else:
        for _ in range(12):
            await service.tick()
            await world.watch(mine=1)
        async with world.ledger.reading() as tx:
            (fees,) = [h for h in await open_holds(tx) if h.object_type == "fees"]
        assert fees.object_id.startswith("anvil/deposit:")
        assert "is sent native coin" in fees.reason
        dear.fees = client.fees
        await world.settle(service, world.all_are("paid", payout))
        async with world.ledger.reading() as tx:
            assert await open_holds(tx) == []
    await world.ledger.dispose()


@ONE_DATABASE
async def test_fallback__the_gas_s_own_transfer_reverts__deposit_is_held_and_swept_once_released(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    deposit = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    await dev_rpc.call("evm_setAutomine", False)
    service = world.service()
    for _ in range(3):
        await service.tick()
    await dev_rpc.call("anvil_setCode", checksum(deposit), "0xfe")  # takes nothing
    for _ in range(8):
        await world.watch(mine=1)
        await service.tick()
    async with world.ledger.reading() as tx:
        query = sa.select(batches.c.purpose, batches.c.status).order_by(batches.c.id)
        assert [tuple(row) for row in await tx.conn.execute(query)] == [
            ("top_up", "void"), ("transfer", "void"),
        ]  # fmt: skip
        (held,) = await open_holds(tx)
    assert held.reason == "the transfer of gas to it reverted"
    await dev_rpc.call("anvil_setCode", checksum(deposit), "0x")
    async with world.ledger.transaction() as tx:
        await release_hold(tx, held.id, "looked at")
    await world.settle(service, world.all_are("paid", payout))
    await world.ledger.dispose()


@ONE_DATABASE
async def test_fallback__the_chain_learns_7702_later__an_address_that_sent_for_us_is_swept_again(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    deposit = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    assert await client.nonce(deposit) == 1
    await world.pay("USDC", deposit, AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    world.chain = world.chain.model_copy(update={"supports_7702": True})
    world.clock.advance(11)
    await world.settle(world.service(), world.all_are("paid", payout))
    await world.ledger.dispose()


@ONE_DATABASE
async def test_f21_fallback__deposit_address_is_blacklisted__on_hold_with_the_reason__then_swept(
    anvil: Anvil, dev_rpc: DevRpc, client: ChainClient, migrated_url: str
) -> None:
    world = await _world(anvil, dev_rpc, client, migrated_url)
    merchant = await world.merchant()
    deposit = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    await world.run(world.tokens["USDC"], "blacklist(address)", deposit)
    service = world.service()
    await service.tick()
    await service.tick()
    async with world.ledger.reading() as tx:
        (held,) = await open_holds(tx)
    assert "blacklisted" in held.reason
    await world.run(world.tokens["USDC"], "unBlacklist(address)", deposit)
    async with world.ledger.transaction() as tx:
        await release_hold(tx, held.id)
    await world.settle(service, world.all_are("paid", payout))
    await world.ledger.dispose()


async def test_supports_7702__asked_of_the_chain(world: World) -> None:
    assert await supports_7702(world.service().context)
