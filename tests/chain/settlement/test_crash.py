"""A process that dies at any write or send; another one finishes: exactly once, same bytes."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.schema import transactions
from tests.chain.settlement.world import Crash, CrashingLedger, SpyingClient, World, recipient

AMOUNT = 5_000001


async def _one_payout(world: World, number: int) -> str:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    return await world.promise(merchant, "USDC", AMOUNT, recipient(number))


async def _until_dead(world: World, service: object, payout: str) -> bool:
    """Whether it died before the payout was paid."""
    try:
        await world.settle(service, world.all_are("paid", payout))  # type: ignore[arg-type]
    except Crash:
        return True
    return False


async def _finish(world: World, payout: str, spy: SpyingClient) -> None:
    """Somebody else takes the lease once it has expired, and finishes."""
    world.clock.advance(11)
    await world.settle(world.service(client=spy), world.all_are("paid", payout))


async def _nothing_twice(world: World, spy: SpyingClient, payouts: int) -> None:
    for number in range(1, payouts + 1):
        assert await world.held("USDC", recipient(1000 + number)) == AMOUNT
    assert await world.held("USDC", world.contracts.treasury) == 0
    assert all(len(versions) == 1 for versions in spy.sent.values()), "one nonce, two versions"
    async with world.ledger.reading() as tx:
        query = sa.select(transactions.c.status, sa.func.count()).group_by(transactions.c.status)
        counts = {row[0]: row[1] for row in await tx.conn.execute(query)}
    assert set(counts) == {"final"}
    await world.agrees()


async def test_f13_crash_at_every_write__before_and_after_commit__paid_once(world: World) -> None:
    spy = SpyingClient(world.client)
    number = writes = 0
    for committed in (False, True):
        for writes in range(1, 60):
            number += 1
            payout = await _one_payout(world, 1000 + number)
            ledger = CrashingLedger(world.ledger, writes, committed=committed)
            if not await _until_dead(world, world.service(ledger=ledger, client=spy), payout):
                break
            await _finish(world, payout, spy)
        assert writes > 8, "fewer writes than persistence points: the harness misses some"
    await _nothing_twice(world, spy, number)


async def test_f13_crash_on_both_sides_of_each_send__paid_once(world: World) -> None:
    spy = SpyingClient(world.client)
    for number, (before, after) in enumerate(((1, 0), (0, 1), (2, 0), (0, 2)), 1):
        payout = await _one_payout(world, 1000 + number)
        spy.sends, spy.die_before, spy.die_after = 0, before, after
        assert await _until_dead(world, world.service(client=spy), payout)
        spy.die_before = spy.die_after = 0
        await _finish(world, payout, spy)
    await _nothing_twice(world, spy, 4)
