"""Stops, restarts and gaps: caught up whole, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from bursar.actions.doctor_scan import examine_scan
from chain.anvil import Anvil
from chain.rpc.errors import NodeBehind
from config.catalogue import Catalogue
from config.errors import ConfigError, InvalidInputError
from ledger.cursors import get_cursor
from ledger.leases import acquire
from ledger.rescans import get_rescan, request_rescan
from ledger.schema import chain_cursors, deposit_addresses
from tests.chain.rpc.conftest import MakeClient
from tests.chain.watcher.test_lies import persist
from tests.chain.watcher.world import Invoice, World, chain_settings, deposits
from tests.support.clock import AheadClock, ManualClock
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import leader, service
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
    invoice = await world.invoice()
    await world.pay(invoice.address, 10_000_000)
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
    invoice = await world.invoice()
    await world.pay(invoice.address, 10_000_000)
    await world.mine(50)
    world.restart()
    await world.follow()
    assert await world.status(invoice) == "paid"


@pytest.mark.parametrize("few", [500, 0], ids=["by_topic", "all_transfers"])
async def test_f11_invoice_created_while_a_pass_runs__credited(
    world: World, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address is committed after the logs were asked for and paid in those very blocks."""
    world.restart(few_addresses=few)
    await world.invoice()
    await world.follow()
    (address,) = deposits(1, 1)
    await world.pay(address, 10_000_000)
    original = service.read_step
    made = []

    async def read_then_open(*args: object, **more: object) -> object:
        found = await original(*args, **more)  # type: ignore[arg-type]
        if not made:
            made.append(await world.invoice())
        return found

    monkeypatch.setattr(service, "read_step", read_then_open)
    results = [await world.watcher.tick()]
    assert results[0].outcome is Outcome.AGAIN
    await world.mine(3)
    await world.follow()
    assert await world.status(made[0]) == "paid"
    await world.agrees()


async def test_f11_invoices_opened_without_pause__scan_does_not_starve(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.invoice()
    await world.follow()
    original = service.read_step

    async def read_then_open(*args: object, **more: object) -> object:
        found = await original(*args, **more)  # type: ignore[arg-type]
        await world.invoice()
        return found

    monkeypatch.setattr(service, "read_step", read_then_open)
    await world.mine(3)
    outcomes = []
    for _ in range(8):
        outcomes.append((await world.watcher.tick()).outcome)
        await world.mine()
    assert Outcome.ADVANCED in outcomes
    assert outcomes.count(Outcome.AGAIN) == 2


async def test_f11_address_known_too_late__gap_is_read_again(world: World) -> None:
    """``watch_from`` lies below the cursor: as if its commit had been overtaken."""
    world.restart(few_addresses=0)
    await world.invoice()
    await world.follow()
    (address,) = deposits(1, 1)
    await world.pay(address, 10_000_000)
    await world.mine(3)
    await world.follow()
    invoice = await world.invoice()
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(
            deposit_addresses.update()
            .where(deposit_addresses.c.invoice_id == invoice.id)
            .values(watch_from={"anvil": (await world.cursor())[0] - 4})
        )
    await world.mine()
    await world.follow()
    assert await world.status(invoice) == "paid"
    assert [t for t, _, _ in world.observer.rescans] == ["gap"]
    await world.agrees()


async def test_first_start__node_knows_no_final_block_yet__waits_and_begins_there(
    world: World, anvil: Anvil, make_client: MakeClient
) -> None:
    """As a node does for minutes after its own start: no reason to begin with block 1."""
    world.settings = chain_settings(world.url, world.tokens, finality="finalized")
    await world.mine(100)
    async with FaultProxy(anvil.rpc_url) as proxy:
        world.restart(make_client([proxy.url], clock=world.clock))
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


async def test_rescan__what_was_read_already__never_credited_twice(world: World) -> None:
    await world.follow()
    invoice = await world.invoice()
    await world.pay(invoice.address, 10_000_000)
    await world.mine(250)
    await world.follow()
    before = await world.event_types()
    async with world.ledger.transaction() as tx:
        number = await request_rescan(tx, "anvil", 0, (await world.cursor())[0], "command")
    await world.follow()
    async with world.ledger.reading() as tx:
        rescan = await get_rescan(tx, number)
    assert rescan is not None and rescan.finished
    assert await world.statuses() == ["confirmed"]
    assert await world.event_types() == before
    assert sum(blocks for t, blocks, _ in world.observer.rescans if t == "command") > 250
    await world.agrees()


async def test_rescan__a_new_block_at_every_poll__read_all_the_same(world: World) -> None:
    """Most chains have blocks faster than the polls: there is never a tick without a new one."""
    await world.follow()
    async with world.ledger.transaction() as tx:
        number = await request_rescan(tx, "anvil", 1, (await world.cursor())[0], "command")
    for _ in range(4):
        await world.mine()
        assert (await world.watcher.tick()).outcome is Outcome.ADVANCED
    async with world.ledger.reading() as tx:
        rescan = await get_rescan(tx, number)
    assert rescan is not None and rescan.finished


async def test_rescan__blocks_that_no_provider_has_any_more__gaps_and_audits_go_on(
    world: World, anvil: Anvil, make_client: MakeClient
) -> None:
    """An operator's mistake must not keep waiting who paid in blocks that are there."""
    async with FaultProxy(anvil.rpc_url) as proxy:
        world.restart(make_client([proxy.url], clock=world.clock), few_addresses=0)
        await world.invoice()
        await world.follow()
        (address,) = deposits(1, 1)
        await world.pay(address, 10_000_000)
        await world.mine(3)
        await world.follow()
        pruned = proxy.add(Fault(Kind.error, value=(4444, "pruned history"), naming='"0x2"'))
        async with world.ledger.transaction() as tx:
            number = await request_rescan(tx, "anvil", 1, 5, "command")
        invoice = await world.invoice()
        top, _ = await world.cursor()
        async with world.ledger.transaction() as tx:
            watched = deposit_addresses.update().values(watch_from={"anvil": top - 4})
            await tx.conn.execute(watched.where(deposit_addresses.c.invoice_id == invoice.id))
        await world.mine()

        async def put_off_and_gone_on() -> bool:
            read = {trigger: found for trigger, _, found in world.observer.rescans}
            return read == {"gap": 1} and world.observer.with_coin is not None

        world.clock.advance(world.settings.balance_audit.total_seconds())
        await persist(world, put_off_and_gone_on, limit=20)
        assert pruned.struck and await world.status(invoice) == "paid"
        proxy.clear()
        world.clock.advance(600)
        await world.follow()
    async with world.ledger.reading() as tx:
        rescan = await get_rescan(tx, number)
    assert rescan is not None and rescan.finished


async def test_rescan__below_the_start__finds_and_confirms(world: World) -> None:
    (address,) = deposits(0, 1)
    await world.pay(address, 10_000_000)
    await world.mine(10)
    await world.follow()
    invoice = await world.invoice()
    async with world.ledger.transaction() as tx:
        await request_rescan(tx, "anvil", 1, 10**6, "command")
    await world.follow()
    assert await world.status(invoice) == "paid"
    await world.agrees()


async def test_rescan__not_read_yet__refused(world: World) -> None:
    await world.follow()
    async with world.ledger.transaction() as tx:
        with pytest.raises(InvalidInputError, match="not been read"):
            await request_rescan(tx, "anvil", 10**6, 10**6, "command")


async def test_f09_chain_renamed__refused_instead_of_credited_once_more(world: World) -> None:
    await world.follow()
    world.settings = world.settings.model_copy(update={"name": "renamed"})
    world.ledger.catalogue = Catalogue([world.settings])
    world.restart()
    with pytest.raises(ConfigError, match="under the name anvil"):
        await world.watcher.tick()


async def test_f19_two_watchers__one_leads_the_other_stands_by(world: World) -> None:
    world.restart(lease_owner="first")
    await world.watcher.tick()
    first = world.watcher
    world.restart(lease_owner="second")
    assert (await world.watcher.tick()).outcome is Outcome.STANDBY
    assert world.watcher.status().ready
    await first._leader.resign()
    assert (await world.watcher.tick()).outcome is not Outcome.STANDBY


async def test_f19_lease_taken_meanwhile__pass_is_refused(world: World) -> None:
    world.restart(lease_owner="first")
    await world.follow()
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(sa.text("UPDATE leases SET owner = 'other'"))
        assert await acquire(tx, "watcher:anvil", "third") is None
    await world.mine()
    before = await world.cursor()
    with pytest.raises(service.LeaseLostError):
        await world.watcher.tick()
    assert await world.cursor() == before


class PatientClock(AheadClock):
    """Really waits."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def test_f19_passes_longer_than_a_lease__kept_meanwhile_and_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ttl = timedelta(seconds=1)
    monkeypatch.setattr(leader, "DEFAULT_TTL", ttl)
    monkeypatch.setattr(leader, "acquire", partial(acquire, ttl=ttl))
    world.clock = PatientClock()
    world.restart(lease_owner="first")
    look = world.watcher._lookout.look

    async def slow(cursor: Any) -> Any:
        found = await look(cursor)
        await asyncio.sleep(1.4)
        return found

    monkeypatch.setattr(world.watcher._lookout, "look", slow)
    await world.mine(3)
    stop = asyncio.Event()
    task = asyncio.create_task(world.watcher.run(stop))
    for _ in range(200):  # on a busy machine a renewal may be late: one pass is enough
        cursor = world.watcher.status().cursor
        if cursor is not None and cursor == await world.head():
            break
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert (await world.cursor())[0] == await world.head()


async def test_cursor_moved_by_another__pass_refused(world: World) -> None:
    await world.follow()
    await world.mine()
    cursor = await world.watcher._lookout.cursor(None)
    look = await world.watcher._lookout.look(cursor)
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(chain_cursors.update().values(cursor_hash=b"\x01" * 32))
    with pytest.raises(service.ConflictError):
        from watcher.plan import ReadBlocks

        await world.watcher._advance(
            cursor, look, ReadBlocks(cursor.cursor.number + 1, look.head.number)
        )


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


async def test_tiers__cumulative_credit__waits_for_the_stricter_finality(world: World) -> None:
    world.settings = chain_settings(
        world.url,
        world.tokens,
        finality={"confirmations": 1},
        finality_tiers=[{"above": "15", "finality": {"confirmations": 6}}],
    )
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
    world.settings = chain_settings(
        world.url,
        world.tokens,
        finality={"confirmations": 1},
        finality_tiers=[{"above": "1000", "finality": {"confirmations": 6}}],
    )
    world.restart()
    await world.follow()
    invoice = await world.invoice()
    await world.pay(invoice.address, 10_000_000)
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
    world.settings = chain_settings(world.url, world.tokens, finality="finalized")
    world.restart()
    await world.follow()
    invoice = await world.invoice()
    await world.pay(invoice.address, 10_000_000)
    await world.mine(63)
    await world.follow()
    assert await world.statuses() == ["confirming"]
    await world.mine(2)
    await world.follow()
    assert await world.status(invoice) == "paid"


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
