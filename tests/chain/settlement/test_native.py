"""The sponsors' coin: gas, top-ups and what is gone, to the wei, at a final block."""

from __future__ import annotations

from typing import Any, NoReturn

from chain.rpc.errors import Unreachable
from config.units import Address
from ledger.postings import AccountKind
from settlement.native import look_at_native, native_row
from settlement.reconcile import reconcile
from tests.chain.settlement.clients import Blind, SpyingClient
from tests.chain.settlement.scenes import ONE_DATABASE, minutes, treasury_filled, until_sent
from tests.chain.settlement.world import World, recipient

ETHER = 10**18


async def booked(world: World, kind: AccountKind) -> int:
    return await world.booked(kind, world.chain.native_symbol)


def sponsors(world: World) -> list[Address]:
    return [world.keys.sponsor("sweeps").address, world.keys.sponsor("payouts").address]


async def test_native__gas_and_top_ups__books_equal_the_chain_to_the_wei(world: World) -> None:
    service = world.service()
    await treasury_filled(world, service, deposit=5_000000, paid=5_000000)
    await minutes(world, service)
    gas = await booked(world, AccountKind.GAS)
    opening = await booked(world, AccountKind.OWNER)
    assert gas > 0
    found = await look_at_native(world.client, world.ledger, "ETH", sponsors(world))
    assert found is not None
    assert (found.difference, found.chain) == (0, opening - gas)

    before = await world.client.balance(sponsors(world)[1])
    await world.fund(sponsors(world)[1], before + 3)
    await world.watch(mine=4)
    row = await native_row(world.client, world.ledger, "ETH", sponsors(world))
    assert row is not None
    assert (sum(row.explained.values()), row.difference) == (3, 0)
    await minutes(world, service)
    assert await booked(world, AccountKind.OWNER) == opening + 3
    assert await booked(world, AccountKind.SUSPENSE_OUT) == 0


async def test_native__final_on_chain_and_not_booked_yet__is_neither_top_up_nor_loss(
    world: World,
) -> None:
    service = world.service()
    await minutes(world, service)
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", 5_000000)
    payout = await world.promise(merchant, "USDC", 5_000000, recipient(1))
    for _ in range(40):
        await world.rounds(service, 1)
        found = await look_at_native(world.client, world.ledger, "ETH", sponsors(world))
        assert found is not None
        assert found.difference == 0
        if await world.status(payout) == "paid":
            return
    raise AssertionError("not paid")


@ONE_DATABASE
async def test_f14_native__provider_lacks_receipts__the_second_is_asked_before_coin_is_missing(
    world: World,
) -> None:
    client = Blind(world.client, second=world.client)
    service = world.service(client=client)
    await minutes(world, service)
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", 5_000000)
    await world.promise(merchant, "USDC", 5_000000, recipient(1))
    await until_sent(world, service, "sweeps")
    client.blind = True
    await world.watch(mine=5)
    found = await look_at_native(client, world.ledger, "ETH", sponsors(world))
    assert found is not None
    assert found.difference == 0
    rows = await reconcile(client, world.ledger, world.contracts)
    assert rows is not None
    assert rows.agrees


@ONE_DATABASE
async def test_native__final_block_moves_on_between_two_providers__top_up_is_booked_all_the_same(
    world: World,
) -> None:
    """On a chain of short blocks no two looks would be at the same one."""

    class Quick(SpyingClient):
        async def balances(self, *asked: Any) -> list[int]:
            found = await self._client.balances(*asked)
            await world.watch(mine=1)
            return found

        def pinned(self) -> Any:
            return self

        def second(self) -> Any:
            return self

    service = world.service(client=Quick(world.client))
    await minutes(world, service)
    opening = await booked(world, AccountKind.OWNER)
    sponsor = sponsors(world)[1]
    await world.fund(sponsor, await world.client.balance(sponsor) + 3)
    await minutes(world, service)
    assert opening > 0
    assert await booked(world, AccountKind.OWNER) == opening + 3


@ONE_DATABASE
async def test_reconcile__second_provider_dead_while_a_transaction_waits__compared_all_the_same(
    world: World,
) -> None:
    class Dead:
        async def receipts(self, _hashes: object) -> NoReturn:
            raise Unreachable("no connection", where="anvil")

    client = Blind(world.client, second=world.client)
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", 5_000000)
    await world.promise(merchant, "USDC", 5_000000, recipient(1))
    await world.automine(False)
    await until_sent(world, world.service(client=client), "sweeps")
    found = await reconcile(Blind(world.client, second=Dead()), world.ledger, world.contracts)
    await world.automine(True)
    assert found is not None
    assert found.agrees


async def test_native__coin_gone_without_us__suspense_and_a_hold_that_says_how_much(
    world: World,
) -> None:
    service = world.service()
    await minutes(world, service)
    (thief,) = sponsors(world)[:1]
    before = await world.client.balance(thief)
    await world.fund(thief, before - 7)
    await world.watch(mine=4)
    row = await native_row(world.client, world.ledger, "ETH", sponsors(world))
    assert row is not None
    assert row.difference == -7
    await minutes(world, service)
    assert await booked(world, AccountKind.SUSPENSE_OUT) == 7
    reasons = [h.reason for h in await world.holds() if h.object_type == "sponsor"]
    assert len(reasons) == 1
    assert reasons[0].startswith("7 wei left the sponsors")
