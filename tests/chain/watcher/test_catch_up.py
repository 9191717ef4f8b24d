"""Stops, restarts and gaps: caught up whole, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bursar.actions.doctor_scan import examine_scan
from chain.anvil import Anvil
from chain.rpc.errors import NodeBehind
from config.catalogue import Catalogue
from config.errors import ConfigError
from ledger.cursors import get_cursor
from tests.chain.watcher.scenes import ServedBy, final_by_tag
from tests.chain.watcher.world import Invoice, World, deposits
from tests.support.clock import ManualClock
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher.expiry import expire_all
from watcher.status import Outcome


async def test_f10_down_longer_than_finality__caught_up_whole(world: World) -> None:
    await world.follow()
    invoices = await world.invoices(10)
    for invoice in invoices:
        await world.mine(40)
        await world.pay(invoice.address, 10_000_000)
    await world.mine(3)
    world.restart()
    results = await world.follow()
    assert sum(r.blocks for r in results if r.outcome is Outcome.ADVANCED) == 413
    assert [await world.status(invoice) for invoice in invoices] == ["paid"] * 10
    await world.agrees()


async def test_f10_killed_in_the_middle__goes_on_where_it_was(world: World) -> None:
    await world.follow()
    invoices = await world.invoices(6)
    for invoice in invoices:
        await world.mine(60)
        await world.pay(invoice.address, 10_000_000)
    await world.mine(3)
    for _ in range(4):  # each process lives for one tick
        world.restart()
        await world.watcher.tick()
    world.restart()
    await world.follow()
    assert sorted(await world.statuses()) == ["confirmed"] * 6
    await world.agrees()


async def test_progress__catching_up__behind_and_eta_told(world: World) -> None:
    await world.follow()
    await world.mine(300)
    await world.watcher.tick()
    status = world.watcher.status()
    assert status.behind and status.eta_seconds is not None
    assert world.observer.progress[-1] > 0
    await world.follow()
    assert (world.watcher.status().behind, world.watcher.status().ready) == (0, True)
    assert world.observer.progress[-1] == 0


async def test_f10_doctor__while_catching_up__how_far_how_fast_and_how_long(world: World) -> None:
    await world.follow()
    (finding,) = await examine_scan(world.ledger, ManualClock(), world.client)
    assert finding.text.endswith(", 0 behind the head")
    await world.mine(300)
    (finding,) = await examine_scan(world.ledger, ManualClock(), world.client)
    assert "300 behind the head, and not moving" in finding.text

    class Reading(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await world.watcher.tick()
            self.advance(seconds)

    (finding,) = await examine_scan(world.ledger, Reading(), world.client)
    assert "200 behind the head, 50 blocks a second: 4 s still" in finding.text


async def test_start_block__latest__begins_at_the_final_block(world: World) -> None:
    await world.mine(20)
    head = await world.head()
    await world.watcher.tick()
    cursor, final = await world.cursor()
    assert final >= head - 2 and cursor >= final
    # A reorg right after the first start is no violation.
    await world.reorg(2)
    await world.mine()
    assert (await world.follow())[-1].outcome is not Outcome.HALTED


async def test_start_block__invoice_paid_before_the_first_tick__not_missed(world: World) -> None:
    """The provider was out of reach when an installation started, or invoices were imported."""
    await world.mine(20)
    hours = 2 * 3600
    await world.rpc.call("evm_increaseTime", hours)
    world.clock.jump(hours)
    invoice = await world.paid_invoice()
    await world.mine(50)
    await world.follow()
    assert await world.status(invoice) == "paid"
    async with world.ledger.reading() as tx:
        cursor = await get_cursor(tx, "anvil")
    assert cursor is not None and cursor.start_block > 20  # not the whole history either


async def test_start_block__number__history_is_read(world: World) -> None:
    (address,) = deposits(0, 1)
    await world.pay(address, 10_000_000)
    invoice = await world.invoice()
    assert invoice.address == address
    await world.mine(20)
    world.settings = world.settings.model_copy(update={"start_block": 1})
    world.restart()
    await world.follow()
    assert await world.status(invoice) == "paid"


async def test_start_block__database_not_empty__not_used(world: World) -> None:
    await world.follow()
    invoice = await world.paid_invoice()
    await world.mine(50)
    world.restart()
    await world.follow()
    assert await world.status(invoice) == "paid"


async def test_first_start__node_knows_no_final_block_yet__waits_and_begins_there(
    world: World, anvil: Anvil, served_by: ServedBy
) -> None:
    """As a node does for minutes after its own start: no reason to begin with block 1."""
    final_by_tag(world)
    await world.mine(100)
    async with FaultProxy(anvil.rpc_url) as proxy:
        served_by(proxy.url)
        error = (-39001, "finalized block not found")
        proxy.add(Fault(Kind.error, value=error, naming='"finalized"'))
        with pytest.raises(NodeBehind, match="no finalized block yet"):
            await world.watcher.tick()
        proxy.clear()
        await world.follow()
    async with world.ledger.reading() as tx:
        cursor = await get_cursor(tx, "anvil")
    assert cursor is not None and cursor.start_block > 30
    assert cursor.final.number >= cursor.start_block - 1


async def test_f09_chain_renamed__refused_instead_of_credited_once_more(world: World) -> None:
    await world.follow()
    world.settings = world.settings.model_copy(update={"name": "renamed"})
    world.ledger.catalogue = Catalogue([world.settings])
    world.restart()
    with pytest.raises(ConfigError, match="under the name anvil"):
        await world.watcher.tick()


async def test_run__stops_when_asked__and_follows_meanwhile(world: World) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(world.watcher.run(stop))
    invoice = await world.invoice()
    for _ in range(200):
        if world.watcher.status().cursor is not None:
            break
        await asyncio.sleep(0.02)
    await world.pay(invoice.address, 10_000_000)
    await world.mine(3)
    for _ in range(200):
        if await world.status(invoice) == "paid":
            break
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert await world.status(invoice) == "paid"


async def test_expiry__deadline_passed__expired_once(world: World) -> None:
    invoice = await world.invoice(expires=timedelta(milliseconds=20))
    expired = 0
    for _ in range(200):
        expired += await expire_all(world.ledger, world.watcher._house.tolerance)
        if expired:
            break
        await asyncio.sleep(0.005)
    assert expired == 1
    assert await expire_all(world.ledger, world.watcher._house.tolerance) == 0
    assert await world.status(invoice) == "expired"


async def long_catch_up(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Invoice]:
    """Forty blocks missed, read ten at a time; an invoice paid in each fifth of them."""
    monkeypatch.setattr("chain.ranges.RangeSize.__init__.__defaults__", (10, 1_000, 0))
    await world.follow()
    invoices = await world.invoices(8)
    for invoice in invoices:
        await world.pay(invoice.address, 10_000_000)
        await world.mine(4)
    return invoices


@pytest.mark.parametrize("few", [0, 500], ids=["all_transfers", "by_topic"])
async def test_f10_next_range_read_while_the_last_commits__each_payment_once(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    world.restart(few_addresses=few)
    invoices = await long_catch_up(world, monkeypatch)
    await world.watcher.tick()
    ahead = world.watcher._ahead.steps
    assert ahead and ahead[0].first == (await world.cursor())[0] + 1
    await world.follow()
    assert [await world.status(invoice) for invoice in invoices] == ["paid"] * 8
    assert len(await world.payments()) == 8
    await world.agrees()
