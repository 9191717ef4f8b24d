"""Money arrives: exact, split, over, odd and hostile; the books hold what the chain holds."""

from __future__ import annotations

from tests.chain.watcher.world import World


async def test_exact_payment__three_confirmations__invoice_paid(world: World) -> None:
    await world.follow()
    invoice = await world.invoice()
    await world.pay(invoice.address, 10_000_000)
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("processing", ["detected"])
    await world.mine()
    await world.follow()
    assert await world.statuses() == ["confirming"]
    await world.mine()
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("paid", ["confirmed"])
    await world.agrees()
