"""A provider that answers and has no such receipt: outvoted, or waited for, named, decided."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from chain.anvil import Anvil
from config.units import to_hex
from ledger.holds import Hold, open_holds, release_hold
from tests.chain.watcher.lying import Omitting, lag, lie
from tests.chain.watcher.scenes import ask_to_reread, try_ticks
from tests.chain.watcher.world import Invoice, World
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher.status import Outcome
from watcher.waits import HOLD_SECONDS, REFUTED_SECONDS


@pytest.fixture
async def urls(anvil: Anvil) -> AsyncIterator[list[str]]:
    """Three providers of one chain; the first one leads."""
    async with FaultProxy(anvil.rpc_url) as second, FaultProxy(anvil.rpc_url) as third:
        yield [anvil.rpc_url, second.url, third.url]


async def paid_and_denied(world: World, liars: Omitting) -> Invoice:
    await world.follow()
    invoice = await world.invoice()
    receipt = await world.pay(invoice.address, 10_000_000)
    liars.denied = {to_hex(receipt.tx_hash)}
    await world.mine(5)
    await world.follow_some(6)
    return invoice


async def wait(world: World, seconds: float, steps: int = 10) -> None:
    for _ in range(steps):
        world.clock.advance(seconds / steps)
        await world.follow_some(4)


async def holds(world: World) -> list[Hold]:
    async with world.ledger.reading() as tx:
        return await open_holds(tx)


async def test_one_of_two_denies__named_after_a_minute__counts_once_an_operator_vouches(
    world: World, session: aiohttp.ClientSession, urls: list[str]
) -> None:
    liar = lie(world, session, urls[:2], urls[1])
    invoice = await paid_and_denied(world, liar)
    assert (await world.statuses(), await holds(world)) == (["confirming"], [])
    await wait(world, HOLD_SECONDS + 30)
    (found,) = await holds(world)
    payment = (await world.payments())[0]["id"]
    assert (found.kind, found.object_id) == ("payment", f"anvil/{payment}/receipt")
    assert "another provider has no such receipt" in found.reason
    count, oldest = world.observer.waiting
    assert count == 1 and oldest >= HOLD_SECONDS
    # However long it takes: the books say so, and nothing is decided by waiting.
    await wait(world, 2 * REFUTED_SECONDS)
    assert (await world.statuses(), len(await holds(world))) == (["confirming"], 1)
    async with world.ledger.transaction() as tx:
        await release_hold(tx, found.id)
    await wait(world, 60)
    assert await world.status(invoice) == "paid"
    assert world.observer.waiting == (0, 0.0)
    assert await holds(world) == []
    await world.agrees()


async def test_one_of_two_denies_for_a_while__counts_by_itself_and_the_hold_is_over(
    world: World, session: aiohttp.ClientSession, urls: list[str]
) -> None:
    liar = lie(world, session, urls[:2], urls[1])
    invoice = await paid_and_denied(world, liar)
    await wait(world, HOLD_SECONDS + 30)
    assert len(await holds(world)) == 1
    liar.denied = set()
    world.restart()  # the hold is one of an earlier process
    await wait(world, 60)
    assert (await world.status(invoice), await holds(world)) == ("paid", [])


async def test_one_of_two_denies_for_minutes_and_then_is_dead__counts_by_the_word_of_the_other(
    world: World, anvil: Anvil, session: aiohttp.ClientSession
) -> None:
    """By then it is asked about twice a minute: each silence is not the first one."""
    async with FaultProxy(anvil.rpc_url) as second:
        liar = lie(world, session, [anvil.rpc_url, second.url], second.url)
        invoice = await paid_and_denied(world, liar)
        await wait(world, 180)
        assert await world.statuses() == ["confirming"]
        second.add(Fault(Kind.refused))
        await wait(world, 300, steps=100)
        assert (await world.status(invoice), world.observer.unverified) == ("paid", 1)


async def test_while_a_payment_waits__second_readings_and_audits_go_on(
    world: World, session: aiohttp.ClientSession, urls: list[str]
) -> None:
    liar = lie(world, session, urls[:2], urls[1])
    await paid_and_denied(world, liar)
    await ask_to_reread(world, 1, 5)
    world.clock.advance(world.settings.balance_audit.total_seconds())
    await world.watcher.tick()
    outcomes = {(await world.watcher.tick()).outcome for _ in range(6)}
    assert {Outcome.RESCANNED, Outcome.AUDITED} <= outcomes


@pytest.mark.parametrize("liar", [0, 1])
async def test_one_of_three_denies__two_decide(
    world: World, session: aiohttp.ClientSession, urls: list[str], liar: int
) -> None:
    lying = lie(world, session, urls, urls[liar])
    # The scan needs the receipt too: it must have been read before it is denied.
    await world.follow()
    invoice = await world.invoice()
    receipt = await world.pay(invoice.address, 10_000_000)
    await world.follow()
    lying.denied = {to_hex(receipt.tx_hash)}
    await world.mine(5)
    await world.follow()
    assert (await world.status(invoice), await holds(world)) == ("paid", [])
    await world.agrees()


async def test_two_of_three_deny__taken_back_after_ten_minutes__and_back_when_seen_again(
    world: World, session: aiohttp.ClientSession, urls: list[str]
) -> None:
    lying = lie(world, session, urls, urls[1], urls[2])
    invoice = await paid_and_denied(world, lying)
    await wait(world, REFUTED_SECONDS - 60)
    assert (await world.statuses(), len(await holds(world))) == (["confirming"], 1)
    await wait(world, 120)
    assert (await world.statuses(), await holds(world)) == (["orphaned"], [])
    assert await world.status(invoice) == "new"
    lying.denied = set()
    await ask_to_reread(world, 1, await world.head())
    await world.follow()
    assert await world.status(invoice) == "paid"
    await world.agrees()


async def test_two_of_three_stand_still_below_it__not_taken_back_however_long_it_takes(
    world: World, session: aiohttp.ClientSession, urls: list[str]
) -> None:
    """Who does not have the block yet cannot deny what is in it."""
    lagging = lag(world, session, urls, *urls[1:])
    await world.mine(10)
    await world.follow()
    invoice = await world.paid_invoice()
    await world.mine(5)
    lagging.blocks = 8
    await try_ticks(world, 90, seconds=10)
    assert (await world.statuses(), len(await holds(world))) == (["confirming"], 1)
    lagging.blocks = 0
    await wait(world, 60)
    assert (await world.status(invoice), await holds(world)) == ("paid", [])
