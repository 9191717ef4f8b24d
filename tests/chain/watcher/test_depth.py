"""One of two providers says that a block lies deeper than it does: not final, nothing confirmed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp
import pytest

from chain.anvil import Anvil, DevRpc
from tests.chain.watcher.lying import lag
from tests.chain.watcher.scenes import ServedBy, final_by_tag, follows, pay_many, persist, try_ticks
from tests.chain.watcher.world import World
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher.service import EXPECTED

pytestmark = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)


@pytest.fixture
async def other(anvil: Anvil) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(anvil.rpc_url, seed=9) as proxy:
        yield proxy


@asynccontextmanager
async def inventing(anvil: Anvil, blocks: int = 0) -> AsyncIterator[tuple[str, DevRpc]]:
    """A provider that makes up blocks, so many at once, above the chain's head: URL and node."""
    invented = replace(anvil.options, extra=("--fork-url", anvil.rpc_url))
    async with Anvil(invented) as liar, DevRpc(liar.rpc_url) as rpc:
        if blocks:
            await rpc.call("anvil_mine", hex(blocks))
        yield liar.rpc_url, rpc


async def calls_the_newest_final(world: World, provider: FaultProxy) -> Fault:
    """And goes on calling this one final when others have come."""
    newest = await world.rpc.call("eth_getBlockByNumber", "latest", False)
    return provider.add(
        Fault(Kind.answers, {"eth_getBlockByNumber"}, value=newest, naming='"finalized"')
    )


async def test_f03_second_provider_sees_fewer_blocks_above__waits_until_both_see_enough(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    served_by(anvil.rpc_url, other.url)
    await world.follow()
    invoice = await world.invoice()
    receipt = await world.pay(invoice.address, 10_000_000)
    other.add(Fault(Kind.head_behind, value=2))
    await world.mine(3)
    await world.follow_some(8)
    head, paid_in = await world.head(), receipt.block_number
    assert (await world.cursor(), await world.statuses()) == (
        (head, head - 4), ["confirming"],
    ), "the second one sees two blocks fewer"  # fmt: skip
    assert head - 4 < paid_in
    other.clear()
    await world.follow_some(3)
    assert (await world.cursor(), await world.status(invoice)) == ((head, head - 2), "paid")


async def test_f03_second_provider_only_ever_behind__waited_for_ten_minutes_and_no_longer(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    """A node that lags for good must not be worse than none."""
    served_by(anvil.rpc_url, other.url)
    await world.mine(40)
    await world.follow()
    invoice = await world.invoice()
    other.add(Fault(Kind.head_behind, value=30))
    await world.pay(invoice.address, 10_000_000)
    statuses = []
    for _ in range(14):  # its head moves: it has not stopped
        await world.mine(1)
        world.clock.advance(60)
        await world.follow_some(2)
        statuses.append(await world.status(invoice))
    waited = statuses.index("paid")
    assert statuses[:waited] == ["processing"] * waited
    assert 9 <= waited <= 13


@pytest.mark.parametrize("first", [False, True])
async def test_one_provider_stopped_long_ago__what_is_final_goes_on_by_the_word_of_the_other(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy, *, first: bool
) -> None:
    """Also where it is asked first now and then, and a payment waits that it does not have."""
    served_by(*([other.url, anvil.rpc_url] if first else [anvil.rpc_url, other.url]))
    await world.follow()
    before = (await world.cursor())[1]
    stopped = await world.rpc.call("eth_getBlockByNumber", "latest", False)
    other.add(Fault(Kind.null_block, {"eth_getBlockByNumber"}, naming="0x"))
    other.add(Fault(Kind.answers, {"eth_getBlockByNumber"}, value=stopped, naming='"latest"'))
    other.add(Fault(Kind.null_receipt))
    await world.paid_invoice()
    await world.mine(20)
    await try_ticks(world, 8)
    assert (await world.cursor())[1] == before

    async def final_moved() -> bool:
        world.clock.advance(11)  # polls are far apart
        return (await world.cursor())[1] == await world.head() - 2

    await persist(world, final_moved, 120)


async def test_tag__one_of_two_calls_the_newest_block_finalized__waits_for_the_other(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    final_by_tag(world)
    served_by(other.url, anvil.rpc_url)
    await world.mine(70)
    await world.follow()
    await world.paid_invoice()
    lie = await calls_the_newest_final(world, other)
    await world.follow_some(6)
    head = await world.head()
    assert lie.struck > 0
    assert (await world.cursor(), await world.statuses()) == ((head, head - 64), ["detected"])


async def test_tag__the_other_one_cannot_tell_its_own_for_a_moment__waited_for(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    """It has told it before: this is silence, and no word for whatever the first one says."""
    final_by_tag(world)
    async with FaultProxy(anvil.rpc_url) as honest:
        served_by(other.url, honest.url)
        await world.mine(70)
        await world.follow()
        await calls_the_newest_final(world, other)
        await world.mine(1)
        await world.follow_some(2)
        for failure in (Kind.null_block, Kind.error):
            value = (-32603, "internal error") if failure is Kind.error else None
            missing = Fault(failure, {"eth_getBlockByNumber"}, value=value, naming="finalized")
            missing = honest.add(missing)
            await world.mine(1)
            await world.follow_some(3)
            honest.clear()
            head = await world.head()
            assert (await world.cursor())[1] < head - 60
            assert missing.struck > 0
            world.clock.advance(5)
            await world.follow_some(2)
    assert await world.cursor() == (head, head - 64)


async def test_f02_one_of_two_makes_blocks_up_above_the_head__not_final__left_without_a_halt(
    world: World, anvil: Anvil, served_by: ServedBy
) -> None:
    """By its word alone, the true chain would have broken the promise of what was final."""
    await world.mine(6)
    served_by(anvil.rpc_url)
    await world.follow()
    _, final = await world.cursor()
    async with inventing(anvil, 150) as (liar, _):
        served_by(liar, anvil.rpc_url)
        top = await world.head() + 150
        await world.mine(10)

        async def follows_the_liar() -> bool:
            return (await world.cursor())[0] == top

        await persist(world, follows_the_liar)
        assert (await world.cursor())[1] <= final + 2
    served_by(anvil.rpc_url)
    await persist(world, await pay_many(world, 1), 60)
    assert world.observer.violations == 0
    await world.agrees()


async def test_f02_one_of_three_makes_blocks_up_above_the_head__the_others_are_followed(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    await world.mine(6)
    served_by(anvil.rpc_url)
    await world.follow()
    async with inventing(anvil, 150) as (liar, _):
        served_by(liar, anvil.rpc_url, other.url)
        await persist(world, await pay_many(world, 1), 60)
    assert world.observer.violations == 0


async def test_f02_newest_block_exchanged_and_no_other_comes__followed_after_a_while_not_at_once(
    world: World, anvil: Anvil, served_by: ServedBy
) -> None:
    """Two nodes behind one URL differ about the newest block for a moment: that is no reorg."""
    await world.mine(6)
    served_by(anvil.rpc_url)
    await world.follow()
    world.clock.advance(3600)  # another process leads
    await world.reorg(1)
    await world.follow_some(5)
    assert world.observer.reorgs == []

    async def followed() -> bool:
        return world.observer.reorgs == [1]

    await persist(world, followed, 60)


async def test_f02_one_of_two_goes_on_making_blocks_up__not_believed_however_long_it_takes(
    world: World, anvil: Anvil, served_by: ServedBy
) -> None:
    """The other one is below its blocks for longer than a node that lags is waited for."""
    await world.mine(6)
    served_by(anvil.rpc_url)
    await world.follow()
    fork = await world.head()
    async with inventing(anvil, 150) as (liar, rpc):
        served_by(liar, anvil.rpc_url)
        for _ in range(20):
            await world.mine(1)
            await rpc.call("anvil_mine", hex(1))
            world.clock.advance(60)
            with suppress(*EXPECTED):
                await world.follow_some(8)
        cursor, final = await world.cursor()
        assert cursor > fork + 100, "it leads"
        assert final <= fork
        assert world.observer.withheld > 900, "somebody is told"
    served_by(anvil.rpc_url)
    await persist(world, await pay_many(world, 1), 60)
    assert world.observer.violations == 0
    await world.agrees()


async def test_f02_one_of_two_makes_new_blocks_up_above_each_head__not_believed(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    """Whenever it is asked, the other one's newest block is on the chain that it shows."""
    await world.mine(6)
    await world.follow()
    served_by(other.url, anvil.rpc_url)
    for _ in range(16):
        await world.mine(1)
        world.clock.advance(60)
        async with inventing(anvil, 40) as (liar, _):
            other.clear()
            other.add(Fault(Kind.elsewhere, value=liar))
            await try_ticks(world, 5, seconds=0)
    cursor, final = await world.cursor()
    assert cursor >= await world.head() + 30 and len(world.observer.reorgs) > 5, "it leads"
    assert final <= await world.head()
    assert world.observer.violations == 0


async def test_tag__one_of_two_always_calls_it_too_high__not_believed_however_long_it_takes(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy
) -> None:
    """The other one has these blocks, and says that they are not final: it is not behind."""
    final_by_tag(world)
    served_by(other.url, anvil.rpc_url)
    await world.mine(70)
    await world.follow()
    invoice = await world.paid_invoice()
    await calls_the_newest_final(world, other)
    for _ in range(15):
        await world.mine(1)
        world.clock.advance(60)
        await world.follow_some(3)
    head = await world.head()
    assert (await world.cursor(), await world.status(invoice)) == ((head, head - 64), "processing")


async def test_f03_second_provider_always_some_blocks_behind__what_is_final_follows_it(
    world: World, anvil: Anvil, other: FaultProxy, session: aiohttp.ClientSession
) -> None:
    """Further behind than a block needs to be final: it bears out what it has."""
    lagging = lag(world, session, [anvil.rpc_url, other.url], other.url)
    await world.mine(10)
    await world.follow()
    invoice = await world.paid_invoice()
    lagging.blocks = 6
    for _ in range(9):
        await world.mine(1)
        world.clock.advance(10)
        await world.follow_some(2)
    head = await world.head()
    assert await world.cursor() == (head, head - 6 - 2)
    assert await world.status(invoice) == "paid"
    assert world.observer.withheld < 90


async def test_f03_two_of_three_only_ever_behind__waited_for_ten_minutes_and_no_longer(
    world: World, anvil: Anvil, other: FaultProxy, session: aiohttp.ClientSession
) -> None:
    async with FaultProxy(anvil.rpc_url) as third:
        urls = [anvil.rpc_url, other.url, third.url]
        lagging = lag(world, session, urls, *urls[1:])
        await world.mine(40)
        await world.follow()
        before = await world.cursor()
        lagging.blocks = 30
        cursors = []
        for _ in range(16):
            await world.mine(1)
            for _ in range(6):
                world.clock.advance(10)
                with suppress(*EXPECTED):
                    await world.watcher.tick()
            cursors.append(await world.cursor())
    assert cursors[8] == before, "two deny what one calls final"
    head = await world.head()
    assert cursors[-1] == (head, head - 2)


@pytest.mark.parametrize("third", [False, True])
async def test_f02_one_on_a_branch_of_its_own__another_one_silent_for_a_moment__no_halt(
    world: World, anvil: Anvil, other: FaultProxy, served_by: ServedBy, *, third: bool
) -> None:
    """A halt ends by a person's word: the word of one provider is not enough to begin it."""
    await world.mine(6)
    async with (
        FaultProxy(anvil.rpc_url) as second,
        FaultProxy(anvil.rpc_url) as honest,
        inventing(anvil) as (liar, rpc),
    ):
        served_by(other.url, second.url, *([honest.url] if third else []))
        await world.mine(10)
        await world.follow()
        await rpc.call("anvil_mine", hex(30))
        other.add(Fault(Kind.elsewhere, value=liar))
        second.add(Fault(Kind.refused))
        await try_ticks(world, 20)
        assert world.observer.violations == 0
        second.clear()
        await world.mine(3)
        await persist(world, follows(world), 120)
    assert world.observer.violations == 0


async def test_f02_finality_violated_and_the_other_one_dead__halts_after_a_minute(
    world: World, other: FaultProxy, anvil: Anvil, served_by: ServedBy
) -> None:
    served_by(anvil.rpc_url, other.url)
    await world.mine(10)
    await world.follow()
    other.add(Fault(Kind.refused))
    await world.reorg(6)
    await world.mine(2)

    async def halted() -> bool:
        return world.observer.violations == 1

    await persist(world, halted, 100)
