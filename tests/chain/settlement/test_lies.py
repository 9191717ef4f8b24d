"""One provider of three lies about state, and is the first one asked: nothing is paid twice, and
what a lie would decide for good is decided by two who tell the same."""

from __future__ import annotations

import pytest

from chain.anvil import Anvil
from chain.helper_contracts import EPOCH_RAISED, executed_topics
from config.units import to_hex
from ledger.schema import events
from tests.chain.settlement.lying import EPOCH, EXECUTED, PAUSED, about, beside_a_liar, providers
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    PLENTY,
    epoch_raised,
    funded,
    gift,
    minutes,
    owner_sends,
    stuck_batch,
    treasury_filled,
    until_sent,
    while_nobody_leads,
)
from tests.chain.settlement.world import World, recipient
from tests.support.fault_proxy import Fault, Kind

pytestmark = ONE_DATABASE
RAN = executed_topics(0, 0)[0]


async def test_f18_ran_before_the_epoch_was_raised__one_provider_says_it_did_not__not_given_up(
    world: World, anvil: Anvil
) -> None:
    """Given up, its payouts would be paid again under a new id."""
    payout, _, stuck = await stuck_batch(world)
    await owner_sends(world, stuck.calldata)
    await epoch_raised(world)
    await world.mint("USDC", world.contracts.treasury, AMOUNT)
    await world.fund_sponsor("payouts", PLENTY)
    lie = about(EXECUTED, 0)
    async with providers(world, anvil, lie) as client:
        service = world.service(client=client)
        await world.settle(service, world.all_are("paid", payout), audit=False)
    assert lie.struck > 0
    assert await world.payout_batches() == [(0, 0, "final")]
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT


async def test_f18_log_of_the_treasury_that_cannot_be__its_provider_is_doubted__another_one_asked(
    world: World, anvil: Anvil
) -> None:
    """In the receipt that ends an epoch, and among the batches that ran."""
    payout, _, _ = await stuck_batch(world)
    await epoch_raised(world)
    await world.fund_sponsor("payouts", PLENTY)
    lies = [Fault(Kind.cut_data, value=to_hex(topic)) for topic in (EPOCH_RAISED, RAN)]
    async with providers(world, anvil, *lies) as client:
        service = world.service(client=client)
        await world.settle(service, world.all_are("paid", payout), audit=False)
    assert [lie.struck > 0 for lie in lies] == [True, True]
    assert await world.payout_batches() == [(0, 0, "void"), (1, 0, "final")]


async def test_restart__the_other_of_two_providers_stopped_long_ago__paid_all_the_same(
    world: World, anvil: Anvil
) -> None:
    """It answers, from a block below the final one: that is no second opinion about now."""
    first = await funded(world)
    await world.settle(world.service(), world.all_are("paid", first))
    second = await funded(world)
    world.clock.advance(11)
    old = Fault(Kind.answers, {"eth_getTransactionCount"}, value="0x0")
    stopped = [old, Fault(Kind.null_block, {"eth_getBlockByNumber"}), Fault(Kind.null_receipt)]
    async with beside_a_liar(world, anvil, *stopped) as client:
        service = world.service(client=client)
        await world.settle(service, world.all_are("paid", second), audit=False)
    assert old.struck > 0


async def test_restart__two_providers_in_step_differ__follows_what_is_in_flight_and_says_so(
    world: World, anvil: Anvil
) -> None:
    await funded(world)
    service = world.service()
    await until_sent(world, service, "sweeps")
    world.clock.advance(11)
    other = Fault(Kind.answers, {"eth_getTransactionCount"}, value="0x63")
    async with beside_a_liar(world, anvil, other) as client:
        service = world.service(client=client)
        await world.rounds(service, 9)
    assert ("sweep", "final") in await world.batches()
    assert "anvil/comparison" in {h.object_id for h in await world.holds()}


async def test_sealing__one_provider_tells_another_epoch__signed_for_the_one_that_two_tell(
    world: World, anvil: Anvil
) -> None:
    """A batch of an epoch that is still to come would wait for it, and all others behind it."""
    payout = await funded(world)
    lie = about(EPOCH, 1)
    async with providers(world, anvil, lie) as client:
        await world.settle(world.service(client=client), world.all_are("paid", payout))
    assert lie.struck > 0
    assert await world.payout_batches() == [(0, 0, "final")]


@pytest.mark.parametrize("first", [True, False], ids=["first-asked", "second-asked"])
async def test_start__one_of_two_providers_denies_a_strangers_gift__other_tokens_are_paid(
    world: World, anvil: Anvil, first: bool
) -> None:
    """A transfer of strangers and a provider that leaves it out must not stop a chain."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDT", AMOUNT)
    await minutes(world, world.service())
    given = await gift(world, 77)
    payout = await world.promise(merchant, "USDT", AMOUNT, recipient(7))
    await while_nobody_leads(world)
    hidden = Fault(Kind.null_receipt, {"eth_getTransactionReceipt"}, naming=to_hex(given))
    async with beside_a_liar(world, anvil, hidden, first=first) as client:
        service = world.service(client=client)
        await minutes(world, service)
        assert await world.status(payout) == "paid"
        client.liar.clear()
        await minutes(world, service)
    await world.agrees()


async def told(world: World) -> list[str]:
    return [e.type for e in await world.rows(events) if e.type.startswith("payout.")]


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
    merchant = await treasury_filled(world)
    second = await world.promise(merchant, "USDC", 2, recipient(1))
    world.clock.advance(11)
    async with providers(world, anvil, about(PAUSED, 1), count=2) as client:
        service = world.service(client=client)
        for _ in range(12):
            world.clock.advance(8)
            await world.watch(mine=1)
            await service.tick()
        assert await world.status(second) == "queued"
        assert [h.object_id for h in await world.holds()] == ["anvil/providers/pause of USDC"]
        client.liar.clear()
        await world.settle(service, world.all_are("paid", second))
    assert await world.holds() == []
    assert "payout.on_hold" not in await told(world)
