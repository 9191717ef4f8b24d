"""A deposit address that holds another balance than the books, and a person who knows of it."""

from __future__ import annotations

from config.units import Address
from ledger.audited import audited_one
from ledger.cursors import get_cursor
from ledger.findings import Difference, note_difference
from settlement.reconcile import reconcile
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, minutes, stolen, treasury_filled
from tests.chain.settlement.world import World

pytestmark = ONE_DATABASE


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
    (held,) = await world.holds(object_type)
    await world.release(held)


async def test_less_at_a_deposit_address__the_audits_hold_released__stops_no_more_until_it_changes(
    world: World,
) -> None:
    """Tokens that an issuer destroyed there come back by nothing, and their token stood for good."""
    service = world.service()
    merchant = await treasury_filled(world, service)
    await world.pause("sweeps")
    deposit = await world.paid_invoice(merchant, "USDC", AMOUNT)
    await stolen(world, 3, deposit)
    await minutes(world, service)
    await audited(world, deposit, AMOUNT - 3)
    await release(world, "breaker")
    await minutes(world, service)
    assert "payouts:anvil/USDC" in await world.pauses()
    await release(world, "address")
    await release(world, "breaker")
    await minutes(world, service)
    assert await world.pauses() == ["sweeps"]
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert found.agrees
    (row,) = [r for r in found.rows if (r.account, r.token) == ("deposits", "USDC")]
    assert row.explained == {"differences that a person let go": -3}
    await stolen(world, 2, deposit)
    await minutes(world, service)
    assert "payouts:anvil/USDC" in await world.pauses()
