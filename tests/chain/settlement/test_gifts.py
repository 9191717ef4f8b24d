"""What came to the treasury, or left it, without us: booked once, at a look or at the next start."""

from __future__ import annotations

import pytest

from ledger.postings import AccountKind
from tests.chain.settlement.clients import Forgetful
from tests.chain.settlement.crashing import dies_before_it_signs
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    epoch_raised,
    gift,
    minutes,
    stolen,
    treasury_filled,
    while_nobody_leads,
)
from tests.chain.settlement.world import World, recipient


async def test_breaker__strangers_gift_to_the_treasury__suspense_in_and_nothing_stops(
    world: World,
) -> None:
    service = world.service()
    await service.tick()
    assert service.status().leading
    await gift(world, 77)
    await minutes(world, service)
    assert await world.pauses() == []
    await world.agrees()
    assert await world.booked(AccountKind.SUSPENSE_IN) == 77
    (hold,) = await world.holds()
    assert "77 base units of USDC came directly from" in hold.reason


@ONE_DATABASE
async def test_breaker__gifts_that_are_final_only_at_the_next_look__nothing_stops(
    world: World,
) -> None:
    """Whoever funds the treasury in parts, or a stranger with two units, must not stop payouts."""
    service = world.service()
    await minutes(world, service)

    async def look() -> None:
        await world.watch()
        for _ in range(9):
            world.clock.advance(7)
            assert await service.tick()

    for amount in (77, 1):
        await gift(world, amount)
        await look()
        await world.mine(8)
    await look()
    assert await world.pauses() == []
    assert await world.booked(AccountKind.SUSPENSE_IN) == 78


@ONE_DATABASE
async def test_breaker__more_gone_than_a_stranger_gave__both_are_booked(world: World) -> None:
    """A gift that is passed over because the sum is negative would be a difference for ever."""
    service = world.service()
    await treasury_filled(world, service)
    await stolen(world, 100)
    await gift(world, 77)
    await minutes(world, service, 48, seconds=3)
    await world.agrees()
    assert [h.object_id for h in await world.holds("breaker")] == ["anvil/USDC/suspense"]


@ONE_DATABASE
async def test_f05_gift_and_outflow_that_one_provider_left_out_at_a_start__found_once_they_differ(
    world: World,
) -> None:
    client = Forgetful(world.client)
    await treasury_filled(world, world.service(client=client))
    await gift(world, 77)
    await stolen(world, 100)
    await while_nobody_leads(world)
    client.empty = True
    service = world.service(client=client)
    await service.tick()
    client.empty = False
    await minutes(world, service, 32, seconds=3)
    await world.agrees()
    assert [h.object_id for h in await world.holds("breaker")] == ["anvil/USDC/suspense"]
    assert world.observer.count("outflow_adopted") == 1


@ONE_DATABASE
async def test_gift_while_no_process_leads__suspense_in_at_the_next_start_and_nothing_stops(
    world: World,
) -> None:
    """What came in before a start is never looked at again once the start has compared past it."""
    await minutes(world, world.service())
    await gift(world, 77)
    await while_nobody_leads(world)
    await minutes(world, world.service())
    assert await world.pauses() == []
    await world.agrees()


@ONE_DATABASE
async def test_f20_gift_and_then_all_taken_while_no_process_leads__the_gift_is_booked_once(
    world: World,
) -> None:
    """What the books lacked of the outflow was the gift: it must not be covered by name as well."""
    service = world.service()
    await treasury_filled(world, service)
    await gift(world, 77)
    await stolen(world, AMOUNT - 1 + 77)
    await while_nobody_leads(world)
    await minutes(world, world.service())
    await world.agrees()
    assert await world.booked(AccountKind.SUSPENSE_IN) == 77


async def test_f20_outflow_of_what_a_sealed_batch_draws_on__batch_void__released__the_books_agree(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The treasury is not booked below what is drawn on: what covered that is taken back."""
    service = world.service()
    merchant = await treasury_filled(world, service)
    await world.promise(merchant, "USDC", AMOUNT - 1, recipient(2))
    with dies_before_it_signs(monkeypatch):
        await minutes(world, service)
    await stolen(world, AMOUNT - 1)
    await while_nobody_leads(world)
    again = world.service()
    await minutes(world, again)
    await epoch_raised(world)
    await world.watch(mine=8)
    for _ in range(3):
        for held in await world.holds("breaker"):
            await world.release(held)
        await minutes(world, again)
    await world.agrees()
    assert await world.booked(AccountKind.SUSPENSE_OUT) == AMOUNT - 1
    assert await world.booked(AccountKind.SUSPENSE_IN) == 0


@pytest.mark.parametrize("taken", [3, AMOUNT - 1_000000], ids=["a little", "most of it"])
async def test_f20_outflow_that_nothing_explains__suspense_and_stop_at_the_next_start(
    world: World, taken: int
) -> None:
    """Looked at at several ticks until it is final for long enough, and booked once."""
    service = world.service()
    await treasury_filled(world, service)
    await stolen(world, taken)
    await world.watch(mine=1)
    world.clock.advance(11)
    again = world.service()
    for turn in range(20):
        await again.tick()
        if turn < 12:
            await stolen(world, 1)  # what is final is booked while the start waits for this
        await world.watch(mine=1)
    assert await world.pauses() == ["payouts:anvil/USDC"]
    await world.agrees()
