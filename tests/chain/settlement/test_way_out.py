"""Sweep, batch, final, posted: the whole way out."""

from __future__ import annotations

from tests.chain.settlement.world import World, recipient


async def test_way_out__three_tokens__swept_batched_and_paid_exactly(world: World) -> None:
    amounts = {"USDC": 12_345678, "USDT": 7_000001, "DAI": 3 * 10**18 + 1}
    merchant = await world.merchant()
    for symbol, amount in amounts.items():
        await world.paid_invoice(merchant, symbol, amount)
    await world.watch(mine=4)
    ids = [await world.promise(merchant, s, a, recipient(1)) for s, a in amounts.items()]

    await world.settle(world.service(), world.all_are("paid", *ids))

    for symbol, amount in amounts.items():
        assert await world.held(symbol, recipient(1)) == amount
        assert await world.held(symbol, world.contracts.treasury) == 0
