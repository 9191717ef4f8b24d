"""Odd tokens and odd ways of paying: what arrived is booked, what did not is not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.catalogue import Catalogue
from config.clock import SystemEntropy
from config.units import Address
from ledger.findings import open_findings
from ledger.holds import open_holds
from ledger.invoices import InvoiceSpec, Tolerance, create_invoices, load_views
from ledger.payment_rows import PaymentPolicy
from ledger.store import Ledger
from tests.chain.watcher.test_audit import go_round
from tests.chain.watcher.world import PAYER, Invoice, World, chain_settings, deposits
from tests.support.dev_chain import address_of
from watcher.service import ChainWatcher


async def test_f24_self_transfer__of_a_deposit_address__counted_once(world: World) -> None:
    """The log says that ten arrived; they had been there."""
    await world.follow()
    invoice = await world.invoice(20_000_000)
    await world.pay(invoice.address, 10_000_000)
    sent = await world.transfer_as(invoice.address, invoice.address, 10_000_000)
    assert sent.status == 1
    await world.settle()
    assert [(p["status"], p["reason"]) for p in await world.payments()] == [
        ("confirmed", None),
        ("ignored", "zero_value"),
    ]
    assert await world.status(invoice) == "partially_paid"
    await world.agrees()


async def test_f24_exchange_withdrawal__from_its_contract__credited_and_the_contract_named(
    world: World,
) -> None:
    await world.follow()
    invoice = await world.invoice()
    exchange = await world.disperse((invoice.address, 10_000_000))
    await world.settle()
    (payment,) = await world.payments()
    assert (payment["sender"], payment["status"]) == (exchange, "confirmed")
    assert await world.status(invoice) == "paid"
    await world.agrees()


async def test_f24_other_chain_than_asked__held_and_labelled(world: World) -> None:
    """One address on all chains: the invoice offered the token of another one."""
    elsewhere = chain_settings("http://127.0.0.1:1", world.tokens, name="other", chain_id=31338)
    world.ledger = Ledger(
        world.ledger.engine,
        clock=world.clock,
        entropy=SystemEntropy(),
        catalogue=Catalogue([world.settings, elsewhere]),
        public_url="http://pay.example",
    )
    world.restart()
    await world.follow()
    now = world.clock.now()
    spec = InvoiceSpec(
        amount=10_000_000,
        currency="USD",
        options=(world.ledger.catalogue.token("other", "USDC"),),
        expires_at=now + timedelta(hours=1),
        monitor_until=now + timedelta(days=1),
    )
    async with world.ledger.transaction() as tx:
        (made,) = await create_invoices(tx, "mer_1", [spec], deposits)
        address = (await load_views(tx, [made]))[made]["address"]
    invoice = Invoice(made, Address(bytes.fromhex(address[2:])))
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("new", ["wrong_chain", "held"])
    assert [(p["status"], p["reason"], p["held"]) for p in await world.payments()] == [
        ("confirmed", "wrong_chain", True)
    ]
    await world.agrees()


@pytest.mark.parametrize(
    ("tolerance", "units", "status"),
    [
        (Tolerance(absolute=500), 9_999_500, "paid"),
        (Tolerance(absolute=500), 9_999_499, "partially_paid"),
        (Tolerance(bps=10), 9_990_000, "paid"),
        (Tolerance(bps=10), 9_989_999, "partially_paid"),
        (Tolerance(), 9_999_999, "partially_paid"),
        (Tolerance(), 10_000_000, "paid"),
    ],
    ids=["absolute", "absolute_less_one", "bps", "bps_less_one", "none_less_one", "none"],
)
async def test_f25_tolerance__at_its_edge__decided_to_the_unit(
    tolerance: Tolerance, units: int, status: str, world: World
) -> None:
    world.watcher = ChainWatcher(
        world.settings,
        client=world.client,
        ledger=world.ledger,
        policy=PaymentPolicy(),
        tolerance=tolerance,
        clock=world.clock,
        observer=world.observer,
    )
    await world.follow()
    (invoice,) = await world.invoices(1)
    await world.pay(invoice.address, units)
    await world.settle()
    assert await world.status(invoice) == status
    assert [p["amount"] for p in await world.payments()] == [units]
    await world.agrees()


async def test_f25_eighteen_decimals__one_base_unit_short__partially_paid(world: World) -> None:
    """The shortfall lies below a micro: it must not be rounded away."""
    await world.follow()
    exact, short = await world.invoices(2)
    await world.pay(exact.address, 10**19, "DAI")
    await world.pay(short.address, 10**19 - 1, "DAI")
    await world.settle()
    assert [await world.status(i) for i in (exact, short)] == ["paid", "partially_paid"]
    assert sorted(p["amount"] for p in await world.payments()) == [10**19 - 1, 10**19]
    await world.agrees()


async def test_f22_token_answers_false__nothing_moved__nothing_credited(world: World) -> None:
    """The transaction succeeds, with status 1, and no money has moved."""
    hostile = await world.chain.create(PAYER, "HostileToken")
    await world.call(hostile, "mint(address,uint256)", address_of(PAYER), 10**12)
    world.tokens["BAD"] = hostile
    register(world)
    await world.follow()
    invoice = await world.invoice(tokens=["BAD"])
    await world.call(hostile, "setConduct(address,uint8)", invoice.address, 1)
    await world.pay(invoice.address, 10_000_000, "BAD")
    await world.settle()
    assert (await world.status(invoice), await world.payments()) == ("new", [])
    await world.call(hostile, "setConduct(address,uint8)", invoice.address, 0)
    await world.pay(invoice.address, 10_000_000, "BAD")
    await world.settle()
    assert await world.status(invoice) == "paid"
    await world.agrees()


@pytest.mark.parametrize(
    ("numerator", "kind", "words"), [(9, "below", "less"), (11, "above", "more")]
)
async def test_f22_rebasing_token__balance_moves_without_a_transfer__named_by_a_hold(
    numerator: int, kind: str, words: str, world: World
) -> None:
    """Credited is what the Transfer log said; what the token does later is found and told."""
    rebasing = await world.chain.create(PAYER, "RebasingToken")
    await world.call(rebasing, "mint(address,uint256)", address_of(PAYER), 10**30)
    world.tokens["REB"] = rebasing
    register(world)
    await world.follow()
    invoice = await world.invoice(tokens=["REB"])
    await world.pay(invoice.address, 10**19, "REB")
    await world.settle()
    assert await world.status(invoice) == "paid"
    await world.agrees()
    await world.call(rebasing, "rebase(uint256,uint256)", numerator, 10)
    await world.settle()
    await go_round(world)
    async with world.ledger.reading() as tx:
        (finding,) = await open_findings(tx)
        (found,) = await open_holds(tx)
    assert (finding.kind, finding.expected) == (kind, 10**19)
    assert finding.found == 10**18 * numerator
    assert f"{10**18} base units {words}" in found.reason
    # Nothing was credited or taken away on the strength of it.
    assert [p["amount"] for p in await world.payments()] == [10**19]


def register(world: World) -> None:
    """Every token of the world in the configuration, and a watcher that knows them."""
    world.settings = chain_settings(world.url, world.tokens)
    world.ledger = Ledger(
        world.ledger.engine,
        clock=world.clock,
        entropy=SystemEntropy(),
        catalogue=Catalogue([world.settings]),
        public_url="http://pay.example",
    )
    world.restart()
