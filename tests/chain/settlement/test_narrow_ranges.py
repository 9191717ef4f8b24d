"""Providers that take few blocks at once: whatever settlement looks for, it asks in steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_account import Account

from chain.client import ChainClient
from chain.model import TRANSFER_TOPIC
from chain.rpc.errors import TooLarge, Unreachable
from chain.send import SendOutcome, SendResult
from config.units import checksum, to_hex
from settlement.context import Context
from settlement.logs import AT_ONCE, logs_between
from settlement.reconcile import reconcile
from settlement.restore.scanning import inflows, unknown_inflows, unknown_outflows
from tests.chain.settlement.clients import Forgetful, SpyingClient
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    funded,
    gift,
    stolen,
    treasury_filled,
)
from tests.chain.settlement.world import World

MOST_BLOCKS = 24
pytestmark = ONE_DATABASE


@dataclass
class Asked:
    """What a narrow provider was asked for."""

    refused: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The words and the limit of a provider's free plan."""
    asked = Asked()
    for name in ("logs", "transfer_logs"):
        real = getattr(ChainClient, name)

        async def limited(
            client: ChainClient, first: int, last: int, *rest: Any, real: Any = real, **more: Any
        ) -> Any:
            if last - first >= MOST_BLOCKS:
                asked.refused += 1
                raise TooLarge("block range is too wide", max_blocks=MOST_BLOCKS)
            asked.ranges.append((first, last))
            asked.under_way += 1
            asked.most_at_once = max(asked.most_at_once, asked.under_way)
            try:
                return await real(client, first, last, *rest, **more)
            finally:
                asked.under_way -= 1

        monkeypatch.setattr(ChainClient, name, limited)
    return asked


@pytest.mark.usefixtures("narrow")
async def test_f20_comparison_after_a_restore__long_range__every_transfer_found(
    world: World,
) -> None:
    ctx: Context = world.service().context
    await world.mine(30)
    await gift(world, 7)
    paid_in = await world.head()
    await world.mine(60)
    head = await world.head()
    incoming = await unknown_inflows(ctx, await inflows(ctx, 1, head))
    assert [r.block_number for r in incoming] == [paid_in]
    assert await unknown_outflows(ctx, 1, head) == []


async def test_f07_long_range__several_steps_at_once__the_limit_is_run_into_once(
    world: World, narrow: Asked
) -> None:
    paid = []
    for units in (1, 2, 3):
        await world.mine(50)
        paid.append(await gift(world, units))
    head = await world.head()
    topics = (TRANSFER_TOPIC, None, world.contracts.treasury.rjust(32, b"\0"))
    for _ in range(2):
        narrow.ranges.clear()
        logs = await logs_between(world.client, 1, head, [world.tokens["USDC"]], topics)
        assert [log.tx_hash for log in logs] == paid, "in chain order"
        read = sorted(block for a, b in narrow.ranges for block in range(a, b + 1))
        assert read == list(range(1, head + 1)), "each block once"
    assert narrow.refused == 1
    assert narrow.most_at_once == AT_ONCE


async def test_f07_long_range__one_step_fails__the_others_are_let_go(
    world: World, narrow: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.mine(200)
    real = ChainClient.logs

    async def broken(client: ChainClient, first: int, *rest: Any) -> Any:
        if first > 100:
            raise Unreachable("the connection failed")
        return await real(client, first, *rest)

    monkeypatch.setattr(ChainClient, "logs", broken)
    with pytest.raises(Unreachable):
        await logs_between(world.client, 1, 200, [world.tokens["USDC"]], (TRANSFER_TOPIC,))
    assert narrow.under_way == 0


@pytest.fixture
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look reads two steps, so that a chain of some hundred blocks is a long one."""
    monkeypatch.setattr("settlement.logs._PORTION", 2)
    for module in ("causes", "breaker"):
        monkeypatch.setattr(f"settlement.{module}.SPARSE", MOST_BLOCKS + 1)


def causes_of(world: World) -> str:
    """What the last look at books and chain told."""
    differed = [fields for name, fields in world.observer.notes if name.endswith("_differ")]
    return f"{differed[-1]['causes']}"


@pytest.mark.usefixtures("short_looks")
async def test_f07_difference__cause_long_ago__no_tick_reads_all_blocks__found_in_the_end(
    world: World, narrow: Asked
) -> None:
    holder = await world.paid_invoice(await world.merchant(), "USDC", AMOUNT)
    await world.watch(mine=4)
    gone = await stolen(world, 3, holder)
    await world.watch(mine=500)
    service = world.service()
    await service.tick()
    told = [causes_of(world)]
    while len(told) < 30:
        world.clock.advance(61)  # it looks once a minute
        await world.watch(mine=1)
        narrow.ranges.clear()
        await service.tick()
        assert len(narrow.ranges) <= 16, "of more than forty that the whole range takes"
        told.append(causes_of(world))
    assert "are still being looked through" in told[0]
    found = [to_hex(gone) in causes for causes in told]
    assert found == sorted(found), "what was found stays found"
    assert found[-1]
    assert "still being looked through" not in told[-1]


@pytest.mark.usefixtures("short_looks")
async def test_f05_gift_and_outflow_long_ago_that_a_start_was_not_shown__looked_back_for_in_portions(
    world: World, narrow: Asked
) -> None:
    client = Forgetful(world.client)
    await treasury_filled(world, world.service(client=client))
    await gift(world, 77)
    await stolen(world, 100)
    await world.watch(mine=500)
    world.clock.advance(11)  # the lease is over: a new comparison
    client.empty = True
    service = world.service(client=client)
    await service.tick()
    client.empty = False
    for _ in range(20):
        world.clock.advance(61)
        await world.watch(mine=1)
        narrow.ranges.clear()
        await service.tick()
        assert len(narrow.ranges) <= 30, "of more than a hundred that the whole range takes"
    await world.agrees()
    assert world.observer.count("outflow_adopted") == 1


@pytest.mark.usefixtures("narrow", "short_looks")
async def test_reconcile__asked_by_a_person__cause_long_ago__found_at_once(world: World) -> None:
    holder = await world.paid_invoice(await world.merchant(), "USDC", AMOUNT)
    await world.watch(mine=4)
    gone = await stolen(world, 3, holder)
    await world.watch(mine=250)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    (cause,) = found.causes
    assert to_hex(gone) in cause


@pytest.mark.usefixtures("narrow")
async def test_reconcile__batch_that_waits_since_long_ago__looked_for_in_all_its_blocks(
    world: World,
) -> None:
    spy = SpyingClient(world.client)

    async def payouts_swallowed(raw: bytes) -> SendResult:
        if Account.recover_transaction(raw) == checksum(world.keys.sponsor("payouts").address):
            return SendResult(SendOutcome.unknown, "")
        return await world.client.send_raw(raw)

    spy.answer = payouts_swallowed
    await funded(world)
    service = world.service(client=spy)
    await world.rounds(service, 16)
    assert ("payouts", 1) in world.observer.sealed
    await world.watch(mine=60)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert found.causes == ()
    assert await world.held("USDC", world.contracts.treasury) == AMOUNT
