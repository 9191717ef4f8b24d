"""What is final, and for how much money: by depth in tiers, or by the tag of the chain."""

from __future__ import annotations

from tests.chain.watcher.scenes import final_by_tag
from tests.chain.watcher.world import World, chain_settings


def final_in_two_tiers(world: World, above: str) -> None:
    """One block is enough up to so many dollars, six are needed above."""
    world.settings = chain_settings(
        world.url,
        world.tokens,
        finality={"confirmations": 1},
        finality_tiers=[{"above": above, "finality": {"confirmations": 6}}],
    )


async def test_tiers__cumulative_credit__waits_for_the_stricter_finality(world: World) -> None:
    final_in_two_tiers(world, above="15")
    world.restart()
    await world.follow()
    first, second = await world.invoices(2)
    await world.pay(first.address, 10_000_000)
    await world.pay(second.address, 10_000_000)
    await world.follow()
    assert (await world.status(first), await world.status(second)) == ("paid", "processing")
    await world.mine(5)
    await world.follow()
    assert await world.status(second) == "paid"
    assert [p["is_final"] for p in await world.payments()] == [True, True]


async def test_tier_reorg__above_final__confirmed_payment_reversed(world: World) -> None:
    final_in_two_tiers(world, above="1000")
    world.restart()
    await world.follow()
    invoice = await world.paid_invoice()
    await world.follow()
    assert await world.status(invoice) == "paid"
    await world.reorg(1)
    await world.mine()
    await world.follow()
    view = await world.view(invoice)
    assert (view["status"], await world.statuses()) == ("new", ["reversed"])
    assert "payment.reversed" in await world.event_types()
    await world.agrees()


async def test_tag__finalized__confirmed_when_the_tag_passes(world: World) -> None:
    """Anvil: ``finalized`` lies 64 blocks below the head."""
    final_by_tag(world)
    world.restart()
    await world.follow()
    invoice = await world.paid_invoice()
    await world.mine(63)
    await world.follow()
    assert await world.statuses() == ["confirming"]
    await world.mine(2)
    await world.follow()
    assert await world.status(invoice) == "paid"
