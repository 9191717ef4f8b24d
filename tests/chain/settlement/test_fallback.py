"""Chains without EIP-7702: gas to the deposit address, then its own transfer."""

from __future__ import annotations

import sqlalchemy as sa

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from ledger.schema import batches
from settlement.support7702 import supports_7702
from tests.chain.settlement.world import Crash, CrashingLedger, World, build_world, recipient

AMOUNT = 5_000001


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


async def test_supports_7702__asked_of_the_chain(world: World) -> None:
    assert await supports_7702(world.service().context)
