"""A deposit address that holds another balance than the books, and a person who knows of it."""

from __future__ import annotations

import pytest

from config.units import Address
from ledger.audited import audited_one
from ledger.cursors import get_cursor
from ledger.findings import Difference, note_difference
from ledger.holds import open_holds, release_hold
from ledger.pauses import pause
from settlement.reconcile import reconcile
from tests.chain.settlement.test_breaker import AMOUNT, minutes, pauses, stolen
from tests.chain.settlement.world import World, recipient

pytestmark = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)


async def audited(world: World, deposit: Address, found: int) -> None:
    """As the watcher's audit would have it."""
    async with world.ledger.transaction() as tx:
        cursor = await get_cursor(tx, "anvil")
        assert cursor is not None
        owner = await audited_one(tx, "anvil", deposit, 0)
        assert owner is not None
        at = cursor.cursor
        token = world.tokens["USDC"]
        new = Difference(owner, token, AMOUNT, found, at.number, at.hash)
        assert await note_difference(tx, "anvil", new)


async def release(world: World, object_type: str) -> None:
    async with world.ledger.transaction() as tx:
        (held,) = [h for h in await open_holds(tx) if h.object_type == object_type]
        await release_hold(tx, held.id)


async def test_less_at_a_deposit_address__the_audits_hold_released__stops_no_more_until_it_changes(
    world: World,
) -> None:
    """Tokens that an issuer destroyed there come back by nothing, and their token stood for good."""
    service = world.service()
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    async with world.ledger.transaction() as tx:
        await pause(tx, "sweeps")
    deposit = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await stolen(world, 3, deposit)
    await minutes(world, service)
    await audited(world, deposit, AMOUNT - 3)
    await release(world, "breaker")
    await minutes(world, service)
    assert "payouts:anvil/USDC" in await pauses(world)
    await release(world, "address")
    await release(world, "breaker")
    await minutes(world, service)
    assert await pauses(world) == ["sweeps"]
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert found.agrees
    (row,) = [r for r in found.rows if (r.account, r.token) == ("deposits", "USDC")]
    assert row.explained == {"differences that a person let go": -3}
    await stolen(world, 2, deposit)
    await minutes(world, service)
    assert "payouts:anvil/USDC" in await pauses(world)
