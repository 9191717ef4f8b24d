"""A process that dies at any write or send; another one finishes: exactly once, same bytes."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from chain.send import SendResult
from ledger.schema import transactions
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.crashing import Crash, CrashingLedger
from tests.chain.settlement.scenes import AMOUNT
from tests.chain.settlement.world import World, recipient


async def _one_payout(world: World, number: int) -> str:
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", AMOUNT)
    return await world.promise(merchant, "USDC", AMOUNT, recipient(number))


async def _until_dead(world: World, service: object, payout: str) -> bool:
    """Whether it died before the payout was paid."""
    try:
        await world.settle(service, world.all_are("paid", payout), audit=False)  # type: ignore[arg-type]
    except Crash:
        return True
    return False


async def _finish(world: World, payout: str, spy: SpyingClient) -> None:
    """Somebody else takes the lease once it has expired, and finishes."""
    world.clock.advance(11)
    await world.settle(world.service(client=spy), world.all_are("paid", payout), audit=False)


async def stored_before_sent(world: World, spy: SpyingClient) -> None:
    """Whatever ever left the house is in the database, byte for byte."""
    async with world.ledger.reading() as tx:
        stored = set((await tx.conn.execute(sa.select(transactions.c.raw))).scalars())
    assert {raw for versions in spy.sent.values() for raw in versions} <= stored


async def _nothing_twice(world: World, spy: SpyingClient, payouts: int) -> None:
    for number in range(1, payouts + 1):
        assert await world.held("USDC", recipient(1000 + number)) == AMOUNT
    assert await world.held("USDC", world.contracts.treasury) == 0
    assert all(len(versions) == 1 for versions in spy.sent.values()), "one nonce, two versions"
    await stored_before_sent(world, spy)
    async with world.ledger.reading() as tx:
        query = sa.select(transactions.c.status, sa.func.count()).group_by(transactions.c.status)
        counts = {row[0]: row[1] for row in await tx.conn.execute(query)}
    assert set(counts) == {"final"}
    await world.agrees()


@pytest.mark.parametrize("committed", [False, True], ids=["before_commit", "after_commit"])
async def test_f13_crash_at_every_write__another_finishes__paid_once(
    world: World, committed: bool
) -> None:
    spy = SpyingClient(world.client)

    async def only_what_is_stored(raw: bytes) -> SendResult:
        async with world.ledger.reading() as tx:
            query = sa.select(transactions.c.id).where(transactions.c.raw == raw)
            assert await tx.conn.scalar(query) is not None, "sent before it was stored"
        return await world.client.send_raw(raw)

    spy.answer = only_what_is_stored
    # Every one on SQLite; on PostgreSQL every other before its commit, those between after it.
    step = 1 if world.ledger.engine.dialect.name == "sqlite" else 2
    writes, rounds = 0, 0
    for rounds, writes in enumerate(range(1 + committed * (step - 1), 60, step), 1):
        payout = await _one_payout(world, 1000 + rounds)
        ledger = CrashingLedger(world.ledger, writes, committed=committed)
        if not await _until_dead(world, world.service(ledger=ledger, client=spy), payout):
            break
        await _finish(world, payout, spy)
    assert writes > 8, "fewer writes than persistence points: the harness misses some"
    await _nothing_twice(world, spy, rounds)


@pytest.mark.parametrize("death", ["before_store", "after_store", "after_send"])
async def test_f13_crash_around_a_replacement__stored_before_it_is_sent(
    world: World, death: str
) -> None:
    payout = await _one_payout(world, 1001)
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    await world.automine(False)
    while not spy.sends:
        await service.tick()
        await world.watch(mine=0)
    world.clock.advance(31)
    # Writes of that tick: the lease, P4, P3.
    ledger = CrashingLedger(world.ledger, 2, committed=death == "after_store")
    if death == "after_send":
        spy.sends, spy.die_after = 0, 1
        dying = world.service(client=spy)
    else:
        dying = world.service(client=spy, ledger=ledger)
    with pytest.raises(Crash):
        await dying.tick()
    spy.die_after = 0
    await stored_before_sent(world, spy)
    world.clock.advance(11)
    await world.automine(True)
    await world.settle(world.service(client=spy), world.all_are("paid", payout))
    await stored_before_sent(world, spy)
    assert await world.held("USDC", recipient(1001)) == AMOUNT


async def test_f13_crash_on_both_sides_of_each_send__paid_once(world: World) -> None:
    spy = SpyingClient(world.client)
    for number, (before, after) in enumerate(((1, 0), (0, 1), (2, 0), (0, 2)), 1):
        payout = await _one_payout(world, 1000 + number)
        spy.sends, spy.die_before, spy.die_after = 0, before, after
        assert await _until_dead(world, world.service(client=spy), payout)
        spy.die_before = spy.die_after = 0
        await _finish(world, payout, spy)
    await _nothing_twice(world, spy, 4)
