"""Several ranges read ahead of the cursor, and what happens beneath them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chain.anvil import Anvil
from tests.chain.rpc.conftest import MakeClient
from tests.chain.watcher.world import Invoice, World, deposits
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import service
from watcher.plan import ReadRange
from watcher.service import EXPECTED
from watcher.status import Outcome

RANGE = 5


async def missed_blocks(world: World, monkeypatch: pytest.MonkeyPatch, count: int = 40) -> None:
    """A chain that is ``count`` final blocks ahead, to be read five at a time, three in a row."""
    monkeypatch.setattr("chain.ranges.RangeSize.__init__.__defaults__", (RANGE, RANGE, 0))
    monkeypatch.setattr("watcher.ahead.deeper", lambda depth, waited: 3)
    await world.follow()
    await world.mine(count + 3)


async def until_three_are_ready(world: World, within: Callable[[ReadRange], bool]) -> None:
    """Tick until three ranges were read that are not committed yet, the last of them so."""
    for _ in range(20):
        await world.watcher.tick()
        row = world.watcher._ahead._row
        if len(row) == 3 and within(row[2].guess.step):
            await asyncio.wait([read.task for read in row])
            return
    raise AssertionError("never three ranges ahead")


def before_reading(
    monkeypatch: pytest.MonkeyPatch, nth: int, act: Callable[[], Awaitable[None]]
) -> list[ReadRange]:
    """Run ``act`` before the ``nth`` range is asked for; the ranges asked for."""
    original, asked = service.read_step, []

    async def read(client: object, step: ReadRange, *args: object, **more: object) -> object:
        asked.append(step)
        if len(asked) == nth:
            await act()
        return await original(client, step, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "read_step", read)
    return asked


@pytest.mark.parametrize("few", [0, 500], ids=["all_transfers", "by_topic"])
async def test_f11_address_handed_out_while_three_ranges_are_ready__credited(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """The last of the three pays an address that was unknown when it was read."""
    world.restart(few_addresses=few)
    await world.invoice()
    (later,) = deposits(1, 1)
    await missed_blocks(world, monkeypatch, 17)
    await world.pay(later, 10_000_000)
    paid_at = await world.head()
    await world.mine(25)
    await until_three_are_ready(world, lambda step: step.first <= paid_at <= step.last)
    invoice = await world.invoice()
    assert invoice.address == later
    await world.follow()
    assert await world.status(invoice) == "paid"
    assert len(await world.payments()) == 1
    await world.agrees()


async def test_f02_reorg_beneath_the_ranges_ahead__none_of_the_other_history_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third range is read after all above the cursor was exchanged, deeper than finality."""
    await world.watcher.tick()  # begins at the final block: nothing is below it to catch up with
    world.restart(few_addresses=0)
    await world.invoice()
    await missed_blocks(world, monkeypatch)
    cursor, _ = await world.cursor()
    head = await world.head()

    async def reorg() -> None:
        await world.reorg(head - cursor - RANGE + 2)  # two blocks of the first range go too

    before_reading(monkeypatch, 3, reorg)
    results = await world.follow()
    assert results[-1].outcome is Outcome.HALTED
    assert world.observer.violations == 1
    # What was read in one piece is in the books, nothing of the other history above it.
    assert (await world.cursor())[0] <= cursor + 2 * RANGE
    assert world.watcher._ahead.steps == ()


async def pay_on_the_way(world: World, count: int) -> list[Invoice]:
    invoices = await world.invoices(count)
    for invoice in invoices:
        await world.pay(invoice.address, 10_000_000)
        await world.mine(4)
    await world.mine(3)
    return invoices


async def test_f09_provider_dies_while_ranges_are_read_ahead__the_other_goes_on(
    world: World, anvil: Anvil, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultProxy(anvil.rpc_url, seed=3) as first, FaultProxy(anvil.rpc_url) as second:
        world.restart(make_client([first.url, second.url]), few_addresses=0)
        await missed_blocks(world, monkeypatch, 0)
        invoices = await pay_on_the_way(world, 10)

        async def die() -> None:
            first.add(Fault(Kind.refused))

        asked = before_reading(monkeypatch, 4, die)
        for _ in range(200):
            try:
                if (await world.watcher.tick()).outcome is Outcome.IDLE:
                    break
            except EXPECTED:
                await asyncio.sleep(0)
        assert len(asked) > 4
        assert len(await world.payments()) == 10
        statuses = {await world.status(invoice) for invoice in invoices}
        assert statuses <= {"paid", "processing"}  # final only once two bear it out
        await world.agrees()


async def test_read_ahead__catching_up__the_head_is_not_asked_for_each_range(
    world: World, anvil: Anvil, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With latency, a look per range would be the whole of a catch-up's time."""
    async with FaultProxy(anvil.rpc_url) as proxy:
        world.restart(make_client([proxy.url]), few_addresses=0)
        monkeypatch.setattr(service, "LOOK_LASTS", 1_000.0)
        await missed_blocks(world, monkeypatch)
        before = proxy.requests["eth_getBlockByNumber"]
        ticks = await world.follow()
        headers = sum(result.blocks for result in ticks)
        looks = proxy.requests["eth_getBlockByNumber"] - before - headers
        assert looks < 8 < len([tick for tick in ticks if tick.outcome is Outcome.ADVANCED])
