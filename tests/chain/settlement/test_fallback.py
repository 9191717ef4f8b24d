"""Chains without EIP-7702: gas to the deposit address, then its own transfer."""

from __future__ import annotations

from typing import Any

import pytest

from chain.model import FeeQuote, TxRequest
from chain.rpc.errors import NodeError
from config.units import Address, checksum
from ledger.attempts import committed_wei
from settlement.support7702 import supports_7702
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.crashing import Crash, CrashingLedger
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, funded, treasury_filled
from tests.chain.settlement.world import World, recipient

ONE_TOP_UP = 12 * 10**13
"""What one may take at its highest price, wei, gas for the token's transfer in it."""


@pytest.fixture
def configured() -> dict[str, Any]:
    return {"supports_7702": False}


async def unswept(world: World) -> tuple[Address, str]:
    """An address with a deposit of a merchant's, and the payout that waits for its sweep."""
    merchant = await world.merchant()
    deposit = await world.deposited(merchant, "USDC", AMOUNT)
    return deposit, await world.promise(merchant, "USDC", AMOUNT, recipient(1))


async def test_fallback__deposits_swept_by_their_own_keys__paid(world: World) -> None:
    merchant = await world.merchant()
    for symbol in ("USDC", "USDT"):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.watch(mine=4)
    ids = [await world.promise(merchant, s, AMOUNT, recipient(1)) for s in ("USDC", "USDT")]
    await world.settle(world.service(), world.all_are("paid", *ids))
    assert (
        sorted(await world.batches())
        == [("payout", "final")] * 2 + [("top_up", "final")] * 2 + [("transfer", "final")] * 2
    )


async def test_f13_fallback__dies_at_every_other_write__moved_once(world: World) -> None:
    payout = await funded(world)
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


@ONE_DATABASE
async def test_fallback__sponsor_cannot_even_send_the_top_up__payouts_go_on_and_it_says_so(
    world: World,
) -> None:
    """A node refuses to estimate a transfer of coin that is not there. Anvil does not."""

    async def estimated(asked: TxRequest) -> int:
        if asked.sender is not None and asked.value > await world.client.balance(asked.sender):
            message = "insufficient funds for transfer"
            raise NodeError(message, where="anvil", message=message)
        return await world.client.estimate_gas(asked)

    merchant = await treasury_filled(world, paid=AMOUNT // 2)
    await world.fund_sponsor("sweeps", 1)
    await world.deposited(merchant, "USDT", AMOUNT)
    world.clock.advance(11)
    waits = await world.promise(merchant, "USDT", AMOUNT, recipient(1))
    second = await world.promise(merchant, "USDC", AMOUNT // 4, recipient(1))
    strict = SpyingClient(world.client)
    strict.estimate_gas = estimated
    await world.settle(world.service(client=strict), world.all_are("paid", second))
    assert await world.status(waits) == "queued"
    assert "anvil/sweeps/gas" in {h.object_id for h in await world.holds()}


@ONE_DATABASE
async def test_fallback__sponsor_can_pay_for_one_of_two_in_flight__the_other_takes_no_nonce(
    world: World,
) -> None:
    merchant = await world.merchant()
    for _ in range(2):
        await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 2 * AMOUNT, recipient(1))
    sponsor = world.keys.sponsor("sweeps").address
    await world.fund(sponsor, ONE_TOP_UP * 3 // 2)
    await world.automine(False)
    service = world.service()
    for _ in range(4):
        await service.tick()
    (only,) = await world.attempts()
    async with world.ledger.reading() as tx:
        wei = await committed_wei(tx, "anvil", sponsor)
    assert ONE_TOP_UP * 3 // 4 < wei < ONE_TOP_UP * 5 // 4
    assert (only.lane, only.nonce) == ("sweeps", 0)
    assert world.observer.count("sponsor_empty") > 0
    await world.fund(sponsor, 10**18)
    await world.settle(service, world.all_are("paid", payout))


@ONE_DATABASE
@pytest.mark.parametrize(("times", "goes"), [(2, True), (4, False)], ids=["twice", "four_times"])
async def test_f15_fallback__gas_costs_more_since_it_was_given__goes_while_that_pays_for_a_block(
    world: World,
    times: int,
    goes: bool,
) -> None:
    """Three times the base fee was given: the usual first offer, twice what it is now, is more."""
    payout = await funded(world)
    sealed_at = await world.client.fees()
    await world.service().tick()

    async def dearer() -> FeeQuote:
        return FeeQuote(times * sealed_at.base_fee, sealed_at.tip)

    dear = SpyingClient(world.client)
    dear.fees = dearer
    service = world.service(client=dear)
    if goes:
        await world.settle(service, world.all_are("paid", payout))
    else:
        await world.rounds(service, 12)
        (fees,) = await world.holds("fees")
        assert fees.object_id.startswith("anvil/deposit:")
        assert "is sent native coin" in fees.reason
        dear.fees = world.client.fees
        await world.settle(service, world.all_are("paid", payout))
        assert await world.holds() == []


@ONE_DATABASE
async def test_fallback__the_gas_s_own_transfer_reverts__deposit_is_held_and_swept_once_released(
    world: World,
) -> None:
    deposit, payout = await unswept(world)
    await world.automine(False)
    service = world.service()
    for _ in range(3):
        await service.tick()
    await world.rpc.call("anvil_setCode", checksum(deposit), "0xfe")  # takes nothing
    for _ in range(8):
        await world.watch(mine=1)
        await service.tick()
    assert await world.batches() == [("top_up", "void"), ("transfer", "void")]
    (held,) = await world.holds()
    assert held.reason == "the transfer of gas to it reverted"
    await world.rpc.call("anvil_setCode", checksum(deposit), "0x")
    await world.release(held, "looked at")
    await world.settle(service, world.all_are("paid", payout))


@ONE_DATABASE
async def test_fallback__the_chain_learns_7702_later__an_address_that_sent_for_us_is_swept_again(
    world: World,
) -> None:
    deposit, payout = await unswept(world)
    await world.settle(world.service(), world.all_are("paid", payout))
    assert await world.client.nonce(deposit) == 1
    await world.pay("USDC", deposit, AMOUNT)
    await world.watch(mine=4)
    again = await world.promise("mer_1", "USDC", AMOUNT, recipient(1))
    world.chain = world.chain.model_copy(update={"supports_7702": True})
    world.clock.advance(11)
    await world.settle(world.service(), world.all_are("paid", again))


@ONE_DATABASE
async def test_f21_fallback__deposit_address_is_blacklisted__on_hold_with_the_reason__then_swept(
    world: World,
) -> None:
    deposit, payout = await unswept(world)
    await world.blacklist(deposit)
    service = world.service()
    await service.tick()
    await service.tick()
    (held,) = await world.holds()
    assert "blacklisted" in held.reason
    await world.unblacklist(deposit)
    await world.release(held)
    await world.settle(service, world.all_are("paid", payout))


@pytest.mark.parametrize("configured", [{}], ids=["auto"])
async def test_supports_7702__asked_of_the_chain(world: World) -> None:
    assert await supports_7702(world.service().context)
