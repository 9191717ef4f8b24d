"""Money arrives: exact, split, over, odd and hostile; the books hold what the chain holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from config.catalogue import Catalogue
from config.units import MAX_AMOUNT
from ledger.schema import events, ignored_logs
from tests.chain.watcher.world import PAYER, World
from tests.support.dev_chain import address_of


async def test_exact_payment__three_confirmations__invoice_paid(world: World) -> None:
    await world.follow()
    invoice = await world.paid_invoice()
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("processing", ["detected"])
    await world.mine()
    await world.follow()
    assert await world.statuses() == ["confirming"]
    await world.mine()
    await world.follow()
    assert (await world.status(invoice), await world.statuses()) == ("paid", ["confirmed"])
    await world.agrees()


async def test_events__each_block_read_by_itself__tell_confirmations_as_they_are(
    world: World,
) -> None:
    await world.follow()
    await world.paid_invoice()
    await world.follow()
    await world.mine()
    await world.follow()
    await world.mine()
    await world.follow()
    assert await world.event_types() == [
        "invoice.created",
        "payment.detected",
        "invoice.processing",
        "payment.confirmed",
        "invoice.paid",
    ]
    async with world.ledger.reading() as tx:
        query = sa.select(events.c.data).where(events.c.type.like("payment.%"))
        told = list((await tx.conn.execute(query.order_by(events.c.seq))).scalars())
    assert [data["confirmations"] for data in told] == [1, 3]


@pytest.mark.parametrize(
    ("token", "units"), [("USDC", 10_000_000), ("USDT", 10_000_000), ("DAI", 10**19)]
)
async def test_f22_tokens__each_conduct__paid_in_full(world: World, token: str, units: int) -> None:
    await world.follow()
    invoice = await world.invoice()
    await world.pay(invoice.address, units, token)
    await world.settle()
    assert await world.status(invoice) == "paid"
    await world.agrees()


@pytest.mark.parametrize(
    ("parts", "status", "exceptions"),
    [
        ([9_999_999], "partially_paid", []),
        ([10_000_001], "paid", ["overpaid"]),
        ([4_000_000, 6_000_000], "paid", []),
    ],
)
async def test_f25_amounts__one_unit_off_or_split__exact(
    world: World, parts: list[int], status: str, exceptions: list[str]
) -> None:
    await world.follow()
    invoice = await world.invoice()
    for units in parts:
        await world.pay(invoice.address, units)
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == (status, exceptions)
    assert [p["amount"] for p in await world.payments()] == parts
    await world.agrees()


async def test_f25_amount__largest_of_256_bits__recorded_to_the_unit(world: World) -> None:
    huge = await world.chain.create(PAYER, "UsdtLike")
    await world.call(huge, "mint(address,uint256)", address_of(PAYER), MAX_AMOUNT)
    world.tokens["LOOK"] = huge
    await world.follow()
    invoice = await world.invoice()
    await world.pay(invoice.address, MAX_AMOUNT, "LOOK")
    await world.settle()
    (payment,) = await world.payments()
    assert (payment["amount"], payment["reason"]) == (MAX_AMOUNT, "unsupported_token")


async def test_f24_two_transfers__one_transaction__both_counted(world: World) -> None:
    await world.follow()
    invoice = await world.invoice()
    await world.disperse((invoice.address, 4_000_000), (invoice.address, 6_000_000))
    await world.settle()
    assert await world.status(invoice) == "paid"
    assert [(p["ordinal"], p["amount"]) for p in await world.payments()] == [
        (0, 4_000_000),
        (1, 6_000_000),
    ]
    await world.agrees()


async def test_f24_one_transaction__pays_fifty_invoices__each_paid(world: World) -> None:
    await world.follow()
    invoices = await world.invoices(50)
    await world.disperse(*((invoice.address, 10_000_000) for invoice in invoices))
    await world.settle()
    assert [await world.status(invoice) for invoice in invoices] == ["paid"] * 50
    await world.agrees()


async def test_f24_two_transactions__one_block__ordinal_counts_within_the_receipt(
    world: World,
) -> None:
    """It survives re-inclusion elsewhere in a block; the log's index does not."""
    await world.follow()
    invoice = await world.invoice()
    await world.rpc.call("evm_setAutomine", False)
    for units in (4_000_000, 6_000_000):
        await world.send_unmined(await world.raw_payment(invoice.address, units))
    await world.mine()
    await world.follow()
    found = [(p["ordinal"], p["log_index"], p["amount"]) for p in await world.payments()]
    assert found == [(0, 0, 4_000_000), (0, 1, 6_000_000)]
    await world.agrees()


async def test_f24_mint_to_the_address__credited(world: World) -> None:
    await world.follow()
    invoice = await world.invoice()
    await world.call(world.tokens["USDC"], "mint(address,uint256)", invoice.address, 10_000_000)
    await world.settle()
    assert await world.status(invoice) == "paid"
    await world.agrees()


async def test_f24_self_transfer__moves_nothing__ignored(world: World) -> None:
    await world.follow()
    invoice = await world.paid_invoice()
    await world.settle()
    await world.transfer_as(invoice.address, invoice.address, 10_000_000)
    await world.settle()
    found = [(p["status"], p["reason"]) for p in await world.payments()]
    assert found == [("confirmed", None), ("ignored", "zero_value")]
    assert (await world.view(invoice))["exceptions"] == []
    await world.agrees()


async def test_bridged_variant__flagged_by_the_registry__seen_and_labelled(world: World) -> None:
    tokens = tuple(
        token.model_copy(update={"flagged": token.symbol == "USDT"})
        for token in world.settings.tokens
    )
    flagged = world.settings.model_copy(update={"tokens": tokens})
    world.settings = flagged
    world.ledger.catalogue = Catalogue([flagged])
    world.restart()
    await world.follow()
    invoice = await world.invoice(tokens=["USDC"])
    await world.pay(invoice.address, 10_000_000, "USDT")
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("new", ["wrong_token"])
    (payment,) = view["payments"]
    assert (payment["status"], payment["reason"]) == ("ignored", "unsupported_token")
    assert (payment["token"], payment["amount"]) == ("USDT", "10.00")


async def test_wrong_token__registered_not_offered__held(world: World) -> None:
    await world.follow()
    invoice = await world.invoice(tokens=["USDC"])
    await world.pay(invoice.address, 10_000_000, "USDT")
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("new", ["wrong_token", "held"])
    assert [(p["status"], p["reason"], p["held"]) for p in await world.payments()] == [
        ("confirmed", "wrong_token", True)
    ]
    await world.agrees()


async def test_f22_fee_on_transfer__recipient_short__booked_as_the_log_says(world: World) -> None:
    await world.follow()
    invoice = await world.invoice(tokens=["FEE"])
    await world.pay(invoice.address, 10_000_000, "FEE")
    await world.settle()
    assert [p["amount"] for p in await world.payments()] == [9_900_000]
    assert await world.status(invoice) == "partially_paid"
    await world.agrees()


async def test_late__after_expiry__credited_and_labelled(world: World) -> None:
    await world.follow()
    invoice = await world.invoice(expires=timedelta(seconds=-60))
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    view = await world.view(invoice)
    assert (view["status"], view["exceptions"]) == ("paid", ["late"])
    await world.agrees()


async def test_unmatched__after_monitor_until__held(world: World) -> None:
    await world.follow()
    invoice = await world.invoice(expires=timedelta(seconds=-60), monitor=timedelta(seconds=10))
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    (payment,) = await world.payments()
    assert (payment["status"], payment["reason"], payment["held"]) == (
        "confirmed",
        "unmatched",
        True,
    )
    await world.agrees()


@pytest.mark.parametrize("few", [500, 0], ids=["by_topic", "all_transfers"])
async def test_f23_no_money__zero_lookalike_malformed__ignored_with_reason(
    world: World, few: int
) -> None:
    world.restart(few_addresses=few)
    await world.follow()
    invoice = await world.invoice()
    usdc = world.tokens["USDC"]
    payer = address_of(PAYER)
    poisoner = await world.chain.create(PAYER, "Poisoner")
    await world.call(poisoner, "poison(address,address,address[])", usdc, payer, [invoice.address])
    await world.pay(invoice.address, 10_000_000, "LOOK")
    await world.call(poisoner, "fake(address,address,uint256)", payer, invoice.address, 10**7)
    for shape in range(7):
        await world.call(
            poisoner,
            "malformed(uint256,address,address,uint256)",
            shape,
            payer,
            invoice.address,
            10**7,
        )
    await world.settle()
    found = [(p["status"], p["reason"]) for p in await world.payments()]
    expected = [
        ("ignored", "zero_value"),
        ("ignored", "unsupported_token"),
        ("ignored", "unsupported_token"),
        # No data, 31 bytes, 33 bytes, value indexed; with fewer topics nobody is paid.
        *[("ignored", "malformed")] * (4 if few else 5),
    ]
    # A dirty address topic is another topic to the node: only the whole stream shows it.
    assert found == expected
    assert (await world.view(invoice))["status"] == "new"
    await world.agrees()


async def test_f23_dust__ten_thousand_zero_transfers__a_hundred_rows_and_a_number(
    world: World,
) -> None:
    await world.follow()
    invoice = await world.invoice()
    poisoner = await world.chain.create(PAYER, "Poisoner")
    for _ in range(100):
        await world.call(
            poisoner,
            "poison(address,address,address[])",
            world.tokens["USDC"],
            address_of(PAYER),
            [invoice.address] * 100,
        )
    await world.pay(invoice.address, 10_000_000)
    await world.settle()
    async with world.ledger.reading() as tx:
        counts = (await tx.conn.execute(sa.select(ignored_logs.c.count))).scalars().all()
    assert counts == [10_000]
    assert sum(p["reason"] == "zero_value" for p in await world.payments()) == 100
    assert await world.status(invoice) == "paid"
    await world.agrees()


@pytest.mark.parametrize("few", [500, 0], ids=["by_topic", "all_transfers"])
async def test_strangers__transfers_to_others__nothing_recorded(world: World, few: int) -> None:
    world.restart(few_addresses=few)
    await world.follow()
    await world.invoice()
    for i in range(5):
        await world.pay(address_of(PAYER), i + 1)
    await world.settle()
    assert await world.payments() == []
    assert world.observer.logs.get("stranger", 0) == (0 if few else 5)
