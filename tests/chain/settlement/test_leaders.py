"""Two processes over one database: the one that slept past its lease commits nothing."""

from __future__ import annotations

from config.errors import LeaseLostError
from ledger.books import totals_of
from ledger.cursors import get_cursor
from ledger.postings import AccountKind, AccountRef
from ledger.schema import transactions
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.crashing import SleepingLedger
from tests.chain.settlement.scenes import AMOUNT
from tests.chain.settlement.world import World, recipient


async def test_f19_leader_asleep_before_any_write__its_writes_are_refused__paid_once(
    world: World,
) -> None:
    spy = SpyingClient(world.client)
    number, refused = 0, 0
    for write in range(2, 16):
        number += 1
        merchant = await world.merchant()
        await world.deposited(merchant, "USDC", AMOUNT)
        payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1000 + number))
        other, paid = world.service(client=spy), world.all_are("paid", payout)

        async def meanwhile(other: object = other) -> None:
            world.clock.advance(11)
            await other.tick()  # type: ignore[attr-defined]
            await world.watch(mine=1)
            await other.tick()  # type: ignore[attr-defined]

        ledger = SleepingLedger(world.ledger, write, meanwhile)
        sleeper = world.service(client=spy, ledger=ledger)
        world.clock.advance(11)
        try:
            await world.settle(sleeper, paid, rounds=12, audit=False)
        except LeaseLostError:
            refused += 1
            await world.settle(other, paid, audit=False)
        except AssertionError:
            # It woke between two ticks, saw another leader, and stood by.
            await world.settle(other, paid, audit=False)
    assert refused >= 5
    for n in range(1, number + 1):
        assert await world.held("USDC", recipient(1000 + n)) == AMOUNT
    assert all(len(versions) == 1 for versions in spy.sent.values())
    await world.agrees()


async def test_draw__sweep_mined_but_not_final__payout_waits(world: World) -> None:
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", AMOUNT)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    service = world.service()
    treasury = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
    for _ in range(12):
        await service.tick()
        async with world.ledger.reading() as tx:
            cursor = await get_cursor(tx, "anvil")
            rows = list(await tx.conn.execute(transactions.select()))
            posted = (await totals_of(tx, [treasury]))[treasury].debits_posted
        assert cursor is not None
        assert all(r.block_number <= cursor.final.number for r in rows if r.status == "final")
        if not any(r.status == "final" for r in rows):
            assert posted == 0
            assert await world.status(payout) == "queued"
        await world.watch(mine=1)
    assert await world.status(payout) == "paid"
