"""Blocks that are read again: for an address that came late, or because a person asks."""

from __future__ import annotations

import pytest

from chain.anvil import Anvil
from config.errors import InvalidInputError
from ledger.rescans import request_rescan
from ledger.schema import deposit_addresses
from tests.chain.watcher.scenes import ServedBy, ask_to_reread, is_reread, persist
from tests.chain.watcher.world import Invoice, World, deposits
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import service
from watcher.status import Outcome


async def overtaken_invoice(world: World) -> Invoice:
    """Its ``watch_from`` lies below the cursor: as if its commit had been overtaken."""
    invoice = await world.invoice()
    top, _ = await world.cursor()
    async with world.ledger.transaction() as tx:
        watched = deposit_addresses.update().values(watch_from={"anvil": top - 4})
        await tx.conn.execute(watched.where(deposit_addresses.c.invoice_id == invoice.id))
    return invoice


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
    await world.settle()
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
    world.restart(few_addresses=0)
    await world.invoice()
    await world.follow()
    (address,) = deposits(1, 1)
    await world.pay(address, 10_000_000)
    await world.settle()
    invoice = await overtaken_invoice(world)
    await world.mine()
    await world.follow()
    assert await world.status(invoice) == "paid"
    assert [t for t, _, _ in world.observer.rescans] == ["gap"]
    await world.agrees()


async def test_rescan__what_was_read_already__never_credited_twice(world: World) -> None:
    await world.follow()
    await world.paid_invoice()
    await world.mine(250)
    await world.follow()
    before = await world.event_types()
    number = await ask_to_reread(world, 0, (await world.cursor())[0])
    await world.follow()
    assert await is_reread(world, number)
    assert await world.statuses() == ["confirmed"]
    assert await world.event_types() == before
    assert sum(blocks for t, blocks, _ in world.observer.rescans if t == "command") > 250
    await world.agrees()


async def test_rescan__a_new_block_at_every_poll__read_all_the_same(world: World) -> None:
    """Most chains have blocks faster than the polls: there is never a tick without a new one."""
    await world.follow()
    number = await ask_to_reread(world, 1, (await world.cursor())[0])
    for _ in range(4):
        await world.mine()
        assert (await world.watcher.tick()).outcome is Outcome.ADVANCED
    assert await is_reread(world, number)


async def test_rescan__blocks_that_no_provider_has_any_more__gaps_and_audits_go_on(
    world: World, anvil: Anvil, served_by: ServedBy
) -> None:
    """An operator's mistake must not keep waiting who paid in blocks that are there."""
    async with FaultProxy(anvil.rpc_url) as proxy:
        served_by(proxy.url, few_addresses=0)
        await world.invoice()
        await world.follow()
        (address,) = deposits(1, 1)
        await world.pay(address, 10_000_000)
        await world.settle()
        pruned = proxy.add(Fault(Kind.error, value=(4444, "pruned history"), naming='"0x2"'))
        number = await ask_to_reread(world, 1, 5)
        invoice = await overtaken_invoice(world)
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
    assert await is_reread(world, number)


async def test_rescan__below_the_start__finds_and_confirms(world: World) -> None:
    (address,) = deposits(0, 1)
    await world.pay(address, 10_000_000)
    await world.mine(10)
    await world.follow()
    invoice = await world.invoice()
    await ask_to_reread(world, 1, 10**6)
    await world.follow()
    assert await world.status(invoice) == "paid"
    await world.agrees()


async def test_rescan__not_read_yet__refused(world: World) -> None:
    await world.follow()
    async with world.ledger.transaction() as tx:
        with pytest.raises(InvalidInputError, match="not been read"):
            await request_rescan(tx, "anvil", 10**6, 10**6, "command")
