"""Providers gone for an hour, networks that lose a third, clocks that jump: then whole again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport, Transport, TransportError
from config.clock import SystemEntropy
from config.errors import ConfigError, DatabaseError, LeaseLostError
from ledger.cursors import get_cursor
from ledger.store import Ledger, make_engine
from tests.chain.watcher.scenes import ServedBy, pay_many, persist
from tests.chain.watcher.world import World
from tests.support.clock import AheadClock
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from tests.support.severed import SeverableProxy
from watcher.expiry import expire_all
from watcher.service import EXPECTED
from watcher.status import Outcome


async def tick(world: World, seconds: float) -> bool:
    """One tick as ``run`` does it, and then time passes; whether it succeeded."""
    try:
        await world.watcher.tick()
    except EXPECTED as error:
        world.watcher._report.failed(error)
        return False
    except LeaseLostError as error:
        world.watcher._report.failed(error)
        world.watcher._leader.lost()
        return False
    finally:
        world.clock.advance(seconds)
    return True


async def test_f09_all_providers_down_for_an_hour__not_ready_then_every_block_read(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url, honest.url)
    await world.follow()
    start, _ = await world.cursor()
    for proxy in (liar, honest):
        proxy.add(Fault(Kind.refused))
    invoices = await world.invoices(6)
    for minute in range(60):
        if minute % 10 == 0:
            await world.pay(invoices[minute // 10].address, 10_000_000)
        await world.mine(2)
        assert not await tick(world, 60)
    assert not world.watcher.status().ready
    asked = liar.posts + honest.posts
    liar.clear()
    honest.clear()
    read = 0
    for _ in range(50):
        result = await world.watcher.tick()
        read += result.blocks if result.outcome is Outcome.ADVANCED else 0
        world.clock.advance(1)
    assert read == (await world.cursor())[0] - start == await world.head() - start
    assert world.watcher.status().ready
    assert [await world.status(invoice) for invoice in invoices] == ["paid"] * 6
    # An outage is no reason to hammer: a handful of tries a minute for each.
    assert asked <= 60 * 2 * 6
    await world.agrees()


async def test_f09_one_provider_flapping__every_other_request__followed_all_along(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url, honest.url)
    await world.follow()
    liar.add(Fault(Kind.refused, share=0.5))
    invoices = await world.invoices(10)
    failed = 0
    for invoice in invoices:
        await world.pay(invoice.address, 10_000_000)
        for _ in range(3):
            failed += not await tick(world, 2)
    await world.mine(3)

    async def all_paid() -> bool:
        return await world.statuses() == ["confirmed"] * 10

    await persist(world, all_paid)
    assert failed <= 10
    assert honest.posts > liar.posts
    await world.agrees()


async def test_f09_one_provider_dead__the_other_one_fails_a_pass__goes_on_with_it(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    """Who failed is spared for half a minute, but not for one that is no better."""
    served_by(liar.url, honest.url)
    await world.invoice()
    await world.follow()
    honest.add(Fault(Kind.refused))

    async def final_moved() -> bool:
        return (await world.cursor())[1] == await world.head() - 2

    await world.mine(3)
    await persist(world, final_moved, 60)
    await world.mine(3)
    liar.add(Fault(Kind.error, {"eth_getLogs"}, value=(-32000, "internal"), times=4))
    waited = 0
    while not await final_moved() and waited < 60:
        waited += 1
        await tick(world, 1)
    assert waited < 12


async def test_f09_chain_changes_behind_the_url__after_a_restart__refused_and_nothing_credited(
    world: World, liar: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url)
    await world.follow()
    before = await world.cursor()
    await pay_many(world, 1)
    liar.add(Fault(Kind.wrong_chain, value=10))
    served_by(liar.url)
    with pytest.raises(ConfigError, match="serves chain 10 instead of 31337"):
        await world.watcher.tick()
    assert not await tick(world, 61)
    assert not world.watcher.status().ready
    assert (await world.cursor(), await world.payments()) == (before, [])


class BadNetwork:
    """Loses a share of all packets, on the way there or back, and makes the rest late.

    A lost request is noticed by its timeout. All in the clock's time, so that two seconds of
    latency cost none.
    """

    def __init__(self, inner: Transport, clock: AheadClock, loss: float, latency: float) -> None:
        self._inner, self._clock = inner, clock
        self._loss, self._latency = loss, latency
        self._sent = 0
        self.lost = 0

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> tuple[int, Mapping[str, str], bytes]:
        self._sent += 1
        await self._travel(timeout, "there")
        answer = await self._inner.post(url, body, timeout)
        await self._travel(timeout, "back")
        return answer

    async def _travel(self, limit: float, way: str) -> None:
        draw = hashlib.sha256(f"{self._sent}/{way}".encode()).digest()[0] / 256
        if draw < self._loss:
            self.lost += 1
            await self._clock.sleep(limit)
            raise TimeoutError if way == "back" else TransportError("ServerDisconnectedError")
        await self._clock.sleep(self._latency / 2)


@pytest.mark.parametrize(
    ("loss", "latency"), [(0.0, 2.0), (0.1, 0.2), (0.3, 2.0)], ids=["slow", "lossy", "both"]
)
async def test_f31_packets_lost_or_late__one_provider__each_payment_once(
    loss: float, latency: float, world: World, session: aiohttp.ClientSession
) -> None:
    network = BadNetwork(AiohttpTransport(session), world.clock, loss, latency)
    pool = RpcPool(
        "anvil", 31337, [world.url],
        transport=network, clock=world.clock, entropy=SystemEntropy(),
    )  # fmt: skip
    world.restart(ChainClient(pool))
    await persist(world, lambda: has_begun(world))
    invoices = await world.invoices(8)
    for invoice in invoices:
        await world.pay(invoice.address, 10_000_000)
        await tick(world, 1)
    await world.mine(3)

    await persist(world, world.are_paid(*invoices))
    assert bool(network.lost) == bool(loss)
    assert await world.statuses() == ["confirmed"] * 8
    assert world.observer.reorgs == []
    await world.agrees()


async def has_begun(world: World) -> bool:
    return world.watcher.status().cursor is not None


@pytest.fixture
async def severed(migrated_url: str) -> AsyncIterator[SeverableProxy]:
    async with SeverableProxy(migrated_url) as proxy:
        yield proxy


@pytest.mark.parametrize("database_backend", ["postgresql"], indirect=True)
async def test_f31_cut_off_from_the_database__in_the_middle_of_passes__whole_or_nothing(
    world: World, severed: SeverableProxy
) -> None:
    """Every connection is cut after so many bytes, at another place each time."""
    direct = world.ledger
    world.ledger = Ledger(
        make_engine(severed.url),
        clock=world.clock,
        entropy=SystemEntropy(),
        catalogue=direct.catalogue,
        public_url="http://pay.example",
    )
    world.restart()
    await world.follow()
    watched, world.ledger = world.ledger, direct
    invoices = await world.invoices(12)
    failed = 0
    for number, invoice in enumerate(invoices):
        await world.pay(invoice.address, 10_000_000)
        severed.cut_after(300 * (number + 1))
        for _ in range(4):
            failed += not await tick(world, 1)
        severed.heal()
        await tick(world, 1)
    assert failed >= 8
    severed.cut_after(0)
    for _ in range(5):
        assert not await tick(world, 1)
    assert not world.watcher.status().ready
    severed.heal()
    await world.mine(3)

    await persist(world, world.are_paid(*invoices))
    assert await world.statuses() == ["confirmed"] * 12
    await world.agrees()
    with pytest.raises(DatabaseError):
        severed.cut_after(0)
        async with watched.transaction() as tx:
            await get_cursor(tx, "anvil")
    await watched.dispose()


async def test_f31_cut_off_from_the_chain__longer_than_finality__books_untouched_then_caught_up(
    world: World, liar: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url)
    await world.follow()
    liar.add(Fault(Kind.refused))
    all_paid = await pay_many(world, 8)
    before = await world.cursor()
    for _ in range(20):
        assert not await tick(world, 30)
    assert (await world.cursor(), await world.payments()) == (before, [])
    liar.clear()
    await persist(world, all_paid)
    await world.agrees()


@pytest.mark.parametrize("hours", [-30, 30], ids=["back", "ahead"])
async def test_f26_wall_clock_jumps__paid_in_time__credited_and_not_called_late(
    hours: int, world: World
) -> None:
    """Deadlines are held against the time of the block; the clock only says when to look."""
    world.restart(lease_owner="the only one")
    await world.follow()
    invoice = await world.invoice(expires=timedelta(minutes=30))
    await world.pay(invoice.address, 4_000_000)
    world.clock.jump(hours * 3600)
    await expire_all(world.ledger, world.watcher._house.tolerance)
    await tick(world, 1)  # a lease that the jump has ended is taken anew
    await world.follow()
    await world.pay(invoice.address, 6_000_000)
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("paid", [])
    assert await world.statuses() == ["confirmed"] * 2
    await world.agrees()


async def test_f26_two_payments_about_the_second_of_expiry__each_by_its_block(
    world: World, dev_rpc: DevRpc, anvil: Anvil
) -> None:
    """The deadline's own second is in time, the next one late: on chain, to the second."""
    await world.follow()
    deadline = datetime.fromtimestamp(
        int((world.clock.now() + timedelta(hours=1)).timestamp()), UTC
    )
    first, second = [await world.invoice(expires=deadline - world.clock.now()) for _ in range(2)]
    # Whole seconds, as blocks have: expiry falls into the second that begins with the deadline.
    second_of_expiry = int(
        datetime.fromisoformat((await world.view(first))["expires_at"]).timestamp()
    )
    for offset, invoice in ((0, first), (1, second)):
        await world.rpc.call("evm_setNextBlockTimestamp", second_of_expiry + offset)
        await world.pay(invoice.address, 10_000_000)
    await world.settle()
    assert (await world.view(first))["exceptions"] == []
    assert (await world.view(second))["exceptions"] == ["late"]
    assert [await world.status(i) for i in (first, second)] == ["paid", "paid"]
    await world.agrees()


async def test_f26_wall_clock_jumps_back__leader_gone__another_takes_over_in_time(
    world: World,
) -> None:
    """The lease in the books then ends in the clock's far future."""
    world.restart(lease_owner="first")
    await world.follow()
    world.clock.jump(-3600)
    world.restart(lease_owner="second")
    outcomes = []
    for _ in range(16):
        outcomes.append((await world.watcher.tick()).outcome)
        world.clock.advance(1)
        await asyncio.sleep(0)
    assert outcomes[0] is Outcome.STANDBY
    assert outcomes[-1] is not Outcome.STANDBY
