"""Ledger and chain disagree: that token's payouts stop, the others go on, a person resumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from chain.rpc.errors import Unreachable
from config.models import UnusualOutflow
from config.units import Address
from ledger.holds import hold, release_hold
from ledger.pauses import pause
from settlement.breaker import judge
from settlement.reconcile import AccountRow, Reconciliation
from tests.chain.settlement.clients import OtherReceipts, SpyingClient
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    minutes,
    stolen,
    treasury_filled,
)
from tests.chain.settlement.world import World, recipient


def looked(block: int, **differences: int) -> Reconciliation:
    rows = tuple(AccountRow("treasury", t, 6, 0, 0, d) for t, d in differences.items())
    return Reconciliation("anvil", block, rows)


def test_judge__once_or_not_final_or_gone__does_not_trip() -> None:
    seen, tripped = judge({}, looked(10, USDC=-1, USDT=0), 10)
    assert (seen, tripped) == ({"USDC": 10}, [])
    assert judge(seen, looked(11, USDC=-1), 9) == ({"USDC": 10}, [])
    assert judge(seen, looked(12, USDC=0), 12) == ({}, [])
    assert judge(seen, looked(12, USDC=-1), 10) == ({"USDC": 10}, ["USDC"])


def test_judge__two_accounts_that_cancel_out__still_differ() -> None:
    rows = (AccountRow("treasury", "USDC", 6, 5, 0, 0), AccountRow("deposits", "USDC", 6, 0, 0, 5))
    seen, _ = judge({}, Reconciliation("anvil", 1, rows), 1)
    assert seen == {"USDC": 1}


@pytest.mark.parametrize("account", ["treasury", "deposit"])
async def test_breaker__money_gone__that_tokens_payouts_stop_until_released(
    world: World, account: str
) -> None:
    service = world.service()
    merchant = await world.merchant()
    for symbol in ("USDC", "DAI"):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    if account == "deposit":
        await world.pause("sweeps")
        await stolen(world, 3, await world.paid_invoice(merchant, "USDC", AMOUNT))
    else:
        await stolen(world, 3)
    await minutes(world, service)
    if account == "deposit":
        await world.resume("sweeps")
    assert await world.pauses() == ["payouts:anvil/USDC"]
    stopped = await world.promise(merchant, "USDC", 10, recipient(1))
    other = await world.promise(merchant, "DAI", 10, recipient(1))
    await world.settle(service, world.all_are("paid", other), audit=False)
    assert await world.status(stopped) == "queued"
    (hold,) = await world.holds("breaker")
    wanted = "3 base units to 0x7777" if account == "treasury" else "0.000003 went out to 0x7777"
    assert wanted in hold.reason
    await world.release(hold)
    assert await world.pauses() == []
    await world.settle(service, world.all_are("paid", stopped), audit=False)


class Emptied(SpyingClient):
    """The treasury has lost some USDC since it was simulated."""

    token: Address | None = None

    async def token_balances(
        self, token: Address, owners: Sequence[Address], *block: Any
    ) -> list[int]:
        found = await self._client.token_balances(token, owners, *block)
        return [n - (token == self.token and not block) for n in found]


@ONE_DATABASE
async def test_f21_treasury_short_of_one_token__breaker_has_not_tripped__others_are_paid(
    world: World,
) -> None:
    client = Emptied(world.client)
    client.token = world.tokens["USDC"]
    merchant = await world.merchant()
    for symbol in ("USDC", "DAI"):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.watch(mine=4)
    short = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    other = await world.promise(merchant, "DAI", AMOUNT, recipient(1))
    service = world.service(client=client)
    await world.settle(service, world.all_are("paid", other))
    assert await world.status(short) == "queued"
    assert [h.object_id for h in await world.holds()] == ["anvil/USDC/treasury"]
    client.token = None
    await world.settle(service, world.all_are("paid", short))
    assert await world.holds() == []


@ONE_DATABASE
async def test_f21_treasury_has_less_than_the_books__no_payout_is_put_on_hold__paid_when_it_has(
    world: World,
) -> None:
    """The token refuses each of them: it is not the recipients that anything is wrong with."""
    service = world.service()
    merchant = await treasury_filled(world, service)
    await stolen(world, AMOUNT - 3)
    waits = [await world.promise(merchant, "USDC", 2, recipient(number)) for number in (1, 2)]
    await service.tick()
    assert await world.all_are("queued", *waits)()
    assert [h.object_id for h in await world.holds()] == ["anvil/USDC/treasury"]
    await world.mint("USDC", world.contracts.treasury, AMOUNT - 3)
    await world.settle(service, world.all_are("paid", *waits), audit=False)


async def test_breaker__gas_price_out_of_reach__money_gone_stops_payouts_all_the_same(
    world: World,
) -> None:
    """What is measured after the comparison may fail without taking the difference with it."""
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    await treasury_filled(world, service)

    async def refuses() -> NoReturn:
        raise Unreachable("no fee history", where="anvil")

    spy.fees = refuses
    await stolen(world, 3)
    await minutes(world, service)
    assert world.observer.count("measuring_failed") > 0
    assert await world.pauses() == ["payouts:anvil/USDC"]


async def test_breaker__unusual_outflow__stopped_before_it_leaves__goes_once_released(
    world: World,
) -> None:
    rule = UnusualOutflow(factor=3, floor="0", days=14)
    world.settings = world.settings.model_copy(update={"unusual_outflow": rule})
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 20_000000)
    await world.deposited(merchant, "DAI", AMOUNT)
    usual = await world.promise(merchant, "USDC", 8_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", usual))
    # 8 in the eight days that lie a day back: up to 3 a day are usual
    world.clock.advance(8 * 86_400 + 60)
    first = await world.promise(merchant, "USDC", 3_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    more = await world.promise(merchant, "USDC", 4_000000, recipient(1))
    other = await world.promise(merchant, "DAI", 10, recipient(1))
    await world.settle(world.service(), world.all_are("paid", other))
    assert await world.status(more) == "queued"
    assert await world.pauses() == ["payouts:anvil/USDC"]
    (hold,) = await world.holds()
    assert "unusual outflow: 7.00 USDC" in hold.reason
    assert "up to 3.00;" in hold.reason
    await world.release(hold)
    world.clock.advance(1)
    await world.settle(world.service(), world.all_are("paid", more))
    later = await world.promise(merchant, "USDC", 4_000000, recipient(1))
    for _ in range(3):
        await world.service().tick()
        world.clock.advance(11)
    assert await world.status(later) == "queued", "a release is no licence"


async def test_breaker__logs_of_a_payout_are_not_what_was_planned__that_chain_stops(
    world: World,
) -> None:
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", AMOUNT)
    payout = await world.promise(merchant, "USDC", 1_000000, recipient(1))
    client = OtherReceipts(world.client, world.tokens["USDC"], world.contracts.treasury)
    service = world.service(client=client)

    async def stopped() -> bool:
        return await world.pauses() == ["payouts:anvil"]

    await world.settle(service, stopped, audit=False)
    (hold,) = await world.holds()
    assert "1000001 base units left the treasury where 1000000 were planned" in hold.reason
    assert (await world.payout(payout))["batch_id"] is not None
    waits = await world.promise(merchant, "USDC", 5, recipient(1))
    await world.rounds(service, 4)
    assert await world.status(waits) == "queued"
    await world.pause("payouts:anvil/DAI", "another reason")
    await world.release(hold)
    assert await world.pauses() == ["payouts:anvil/DAI"], "no wider than what it stopped"
    await world.settle(world.service(), world.all_are("paid", waits), audit=False, rounds=60)


async def test_breaker__two_reasons__released_one_by_one(world: World) -> None:
    ids = []
    async with world.ledger.transaction() as tx:
        for kind in ("difference", "outflow"):
            place = f"anvil/USDC/{kind}"
            ids.append(await hold(tx, "batch", "breaker", place, "because"))
        await pause(tx, "payouts:anvil/USDC", "because")
    for hold_id, left in zip(ids, (["payouts:anvil/USDC"], []), strict=True):
        async with world.ledger.transaction() as tx:
            await release_hold(tx, hold_id)
        assert await world.pauses() == left
