"""A token that is registered after customers paid in it: found by the next start, not lost."""

from __future__ import annotations

from chain.deployment import HelperContracts
from config.catalogue import Catalogue
from config.units import Address
from ledger.holds import open_holds
from settlement.reconcile import reconcile
from tests.chain.watcher.scenes import ServedBy
from tests.chain.watcher.world import Invoice, World, chain_settings
from tests.support.fault_proxy import Fault, FaultProxy, Kind


async def paid_in_an_unknown_token(world: World) -> tuple[Invoice, int]:
    """An invoice paid deep below finality, and the block."""
    await world.follow()
    invoice = await world.invoice()
    receipt = await world.pay(invoice.address, 10_000_000, "LOOK")
    await world.mine(20)
    await world.follow()
    assert await world.statuses() == ["ignored"]
    return invoice, receipt.block_number


def register(world: World) -> None:
    world.tokens["NEW"] = world.tokens["LOOK"]
    world.settings = chain_settings(world.url, world.tokens)
    world.ledger.catalogue = Catalogue([world.settings])


async def admitted(world: World, invoice: Invoice) -> None:
    (payment,) = await world.payments()
    assert (payment["status"], payment["is_final"], payment["held"]) == ("confirmed", True, True)
    assert (await world.view(invoice))["exceptions"] == ["wrong_token", "held"]
    async with world.ledger.reading() as tx:
        assert [(h.kind, h.reason) for h in await open_holds(tx)] == [("payment", "wrong_token")]
    await world.agrees()


async def books_agree(world: World) -> None:
    """To who would stop payouts for a difference; nothing of it has reached a treasury."""
    nobody = HelperContracts(*(Address(bytes([n]) * 20) for n in range(4)))
    found = await reconcile(world.client, world.ledger, nobody)
    assert found is not None and found.agrees, found
    (deposits,) = [r for r in found.rows if (r.account, r.token) == ("deposits", "NEW")]
    assert deposits.chain == 10_000_000


async def test_registered_later__next_start__read_again_and_confirmed_once(world: World) -> None:
    invoice, _ = await paid_in_an_unknown_token(world)
    await world.follow()
    assert world.observer.rescans == []
    register(world)
    await books_agree(world)
    world.restart()
    await world.follow()
    await books_agree(world)
    await admitted(world, invoice)
    assert world.observer.rescans == [("token", 1, 1)]
    world.restart()
    world.clock.advance(world.settings.balance_audit.total_seconds())
    await world.follow()
    assert world.observer.rescans == [("token", 1, 1)]
    assert world.observer.findings == {"above": 0, "below": 0}


async def test_registered_later__another_process_that_does_not_know_it_led_in_between__found_too(
    world: World,
) -> None:
    """As while daemons are replaced one after the other: the new one had looked before."""
    old = world.ledger.catalogue
    await world.follow()
    register(world)
    world.restart()
    await world.follow()
    new = world.ledger.catalogue
    invoice = await world.invoice()
    world.ledger.catalogue = old
    await world.pay(invoice.address, 10_000_000, "NEW")
    await world.mine(5)
    await world.follow()
    assert await world.statuses() == ["ignored"]
    world.ledger.catalogue = new
    world.clock.advance(86_400)
    await world.follow()
    await admitted(world, invoice)
    assert world.observer.rescans == [("token", 1, 1)], "found by the look, not by the audit"


async def test_registered_later__provider_without_the_block__chain_followed_and_asked_again(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    invoice, block = await paid_in_an_unknown_token(world)
    register(world)
    pruned = Fault(
        Kind.error, {"eth_getBlockByNumber"}, value=(4444, "pruned history"), naming=f'"{block:#x}"'
    )
    liar.add(pruned)
    served_by(liar.url)
    await world.follow()
    assert pruned.struck and world.watcher.status().ready
    assert await world.statuses() == ["ignored"]
    paid = await world.invoice()
    await world.pay(paid.address, 10_000_000)
    await world.settle()
    assert await world.status(paid) == "paid"
    served_by(liar.url, honest.url)
    await world.follow()
    assert "ignored" not in await world.statuses()
    assert (await world.view(invoice))["payments"][0]["status"] == "confirmed"
