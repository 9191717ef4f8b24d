"""What gas costs: a lane bids up to its cap, waits there and says so; what is not worth it waits."""

from __future__ import annotations

from contextlib import suppress

import pytest

from chain.model import FeeQuote, TxRequest
from chain.rpc.errors import Unreachable
from config.chains import FeeCap
from ledger.figures import read_figures
from ledger.payouts import PayoutMove, lock_payouts, move_payouts
from ledger.schema import holds
from ledger.states import PayoutStatus
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.scenes import ONE_DATABASE, funded, treasury_filled, until_sent
from tests.chain.settlement.world import World, recipient

ETHER = 2500_000000
"""Of the native coin, in millionths of a dollar."""


def coin_costs(world: World, price: int) -> None:
    world.chain = world.chain.model_copy(update={"native_price": {"USD": price}})


async def millions(world: World) -> str:
    """A merchant with ten million USDC in the treasury, of which a thousand are paid out."""
    return await treasury_filled(world, deposit=10**13, paid=10**9)


async def test_f15_base_fee_spikes__replaced_at_a_higher_price__one_is_mined(
    world: World,
) -> None:
    payout = await funded(world)
    service = world.service()
    await world.automine(False)
    await until_sent(world, service, "sweeps")
    await world.next_base_fee(40 * 10**9)
    await world.mine()
    world.clock.advance(31)
    await service.tick()
    first, second = await world.attempts("sweeps")
    assert (first.nonce, second.attempt) == (second.nonce, 1)
    assert second.max_fee * 10 >= first.max_fee * 11
    assert second.max_tip * 10 >= first.max_tip * 11
    await world.automine(True)
    await world.settle(service, world.all_are("paid", payout))
    assert "replaced" in await world.attempt_statuses()


async def test_f15_base_fee_over_the_cap__waits__and_recovers(world: World) -> None:
    payout = await funded(world)
    await world.next_base_fee(500 * 10**9)
    await world.watch(mine=1)
    service = world.service()
    await service.tick()
    assert world.observer.count("waiting_for_lower_fees") > 0
    (hold,) = await world.holds()
    async with world.ledger.reading() as tx:
        assert (await read_figures(tx)).fee_waits == {("anvil", "sweeps")}
    assert hold.object_id == "anvil/sweeps/fees"
    assert "fee_cap.gwei allows 200.000" in hold.reason
    await world.next_base_fee(10**9)
    await world.watch(mine=1)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.holds() == []


async def test_f15_base_fee_times_twenty_in_flight__bumped_to_the_cap_then_waits_and_recovers(
    world: World,
) -> None:
    world.chain = world.chain.model_copy(update={"fee_cap": FeeCap(gwei=10)})
    payout = await funded(world)
    service = world.service()
    await world.automine(False)
    await until_sent(world, service, "sweeps")
    await world.next_base_fee(20 * 10**9)
    await world.mine()
    for _ in range(6):
        world.clock.advance(31)
        await service.tick()
    attempts = await world.attempts("sweeps")
    (hold,) = await world.holds()
    assert len(attempts) > 1
    assert max(a.max_fee for a in attempts) <= 10 * 10**9, "the cap is the cap"
    assert hold.object_id == "anvil/sweeps/fees"
    await world.next_base_fee(10**9)
    await world.automine(True)
    await world.mine()
    await world.settle(service, world.all_are("paid", payout))
    assert await world.holds() == []


async def test_f15_share_of_the_batchs_value__waits_until_the_price_is_right(world: World) -> None:
    coin_costs(world, 10**12)
    payout = await funded(world)
    await world.watch(mine=1)
    await world.service().tick()
    (hold,) = await world.holds()
    assert "fee_cap.batch_bps" in hold.reason
    world.clock.advance(11)
    coin_costs(world, 1_000000)
    await world.settle(world.service(), world.all_are("paid", payout))


@ONE_DATABASE
async def test_f15_f21_batch_that_is_not_worth_its_gas__waits_alone__those_behind_it_are_paid(
    world: World,
) -> None:
    merchant = await millions(world)
    tiny = await world.promise(merchant, "USDC", 1, recipient(1))
    gone = SpyingClient(world.client)

    async def estimate_gas(request: TxRequest) -> int:
        if request.to == world.contracts.treasury:
            raise Unreachable("no estimate", where="anvil")
        return await world.client.estimate_gas(request)

    gone.estimate_gas = estimate_gas
    world.clock.advance(11)
    service = world.service(client=gone)
    for _ in range(3):
        with suppress(Unreachable):
            await service.tick()
    assert await world.status(tiny) == "batched"
    large = await world.promise(merchant, "USDC", 10**12, recipient(1))
    world.clock.advance(11)
    configured = world.chain
    coin_costs(world, ETHER)
    await world.settle(world.service(), world.all_are("paid", large))
    assert await world.status(tiny) == "batched"
    assert "fee_cap.batch_bps" in (await world.holds())[0].reason
    async with world.ledger.reading() as tx:
        assert (await read_figures(tx)).fee_waits == {("anvil", "payouts")}
        kept = await tx.conn.execute(holds.select().where(holds.c.object_type == "fees"))
        assert len(list(kept)) == 1, "what is sent in its place does not end it"
    world.clock.advance(11)
    world.chain = configured
    await world.settle(world.service(), world.all_are("paid", tiny))
    assert await world.holds("fees") == []


@ONE_DATABASE
async def test_f15_payout_that_is_not_worth_its_gas__waits_unsealed__goes_with_the_next(
    world: World,
) -> None:
    """Sealed alone it would wait for lower fees, and nothing could be added to its batch."""
    merchant = await millions(world)
    coin_costs(world, ETHER)
    world.clock.advance(11)
    service = world.service()
    small = await world.promise(merchant, "USDC", 10**7, recipient(1))
    await world.rounds(service, 3)
    assert await world.status(small) == "queued"
    (hold,) = await world.holds("fees")
    assert hold.object_id == "anvil/payouts/fees/token:USDC"
    assert "fee_cap.batch_bps" in hold.reason
    large = await world.promise(merchant, "USDC", 10**9, recipient(1))
    await world.settle(service, world.all_are("paid", small, large))
    assert await world.holds("fees") == []
    assert world.observer.sealed[-1] == ("payouts", 2)
    canceled = await world.promise(merchant, "USDC", 10**7, recipient(1))
    await service.tick()
    async with world.ledger.transaction() as tx:
        rows = await lock_payouts(tx, [canceled])
        await move_payouts(tx, [PayoutMove(rows[0], PayoutStatus.CANCELED)])
    await service.tick()
    assert await world.holds("fees") == []


@ONE_DATABASE
async def test_f15_batch_full_of_payouts_not_worth_their_gas__larger_ones_behind_them_are_paid(
    world: World,
) -> None:
    """A merchant who asks for many tiny refunds must not stop everybody's payouts of that token."""
    world.settings = world.settings.model_copy(update={"max_batch": 2})
    merchant = await millions(world)
    coin_costs(world, ETHER)
    world.clock.advance(11)
    tiny = [await world.promise(merchant, "USDC", 1, recipient(n)) for n in range(1, 4)]
    world.clock.advance(1)
    large = [await world.promise(merchant, "USDC", n * 10**9, recipient(n)) for n in (2, 3, 4)]
    await world.settle(world.service(), world.all_are("paid", *large))
    assert await world.all_are("queued", *tiny)()
    (hold,) = await world.holds("fees")
    assert hold.object_id == "anvil/payouts/fees/token:USDC"


@ONE_DATABASE
@pytest.mark.parametrize("max_batch", [400, 20], ids=["one batch", "several"])
async def test_f15_large_payout_among_many_not_worth_their_gas__goes_without_them(
    world: World, max_batch: int
) -> None:
    """All of them together, or a batch of the largest, are not worth it: some of them are."""
    world.settings = world.settings.model_copy(update={"max_batch": max_batch})
    merchant = await millions(world)
    coin_costs(world, ETHER)
    world.clock.advance(11)
    client = SpyingClient(world.client)
    quote = FeeQuote(10 * 10**9, 1)

    async def fees() -> FeeQuote:
        return quote

    client.fees = fees
    tiny = [await world.promise(merchant, "USDC", 1, recipient(n)) for n in range(1, 31)]
    # A gas limit of 389,000 for one, 650,000 for twenty: at 10 gwei 9.72 and 16.25 USDC.
    cap = world.chain.fee_cap.batch_bps
    large = await world.promise(merchant, "USDC", 15_000000 * 10_000 // cap, recipient(1))
    service = world.service(client=client)
    await world.settle(service, world.all_are("paid", large))
    assert await world.all_are("queued", *tiny)()
