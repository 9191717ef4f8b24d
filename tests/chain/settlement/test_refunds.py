"""A refund travels the payouts' road: same batch, same proof, its own event."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from config.units import Address
from ledger.listing import PageQuery, list_events
from ledger.refunds import NewRefund, RefundPolicy, create_refund
from ledger.schema import payments
from settlement.payouts import TOO_LARGE
from settlement.planning import REFUSED
from tests.chain.settlement.scenes import ONE_DATABASE
from tests.chain.settlement.world import World, recipient

POLICY = RefundPolicy(timedelta(0), approval=False, refused=())


async def test_refund__beside_a_payout__both_paid_exactly_in_one_batch(world: World) -> None:
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", 10_000000)
    async with world.ledger.transaction() as tx:
        invoice = await tx.conn.scalar(sa.select(payments.c.invoice_id))
        new = NewRefund(invoice, Address(recipient(2)), amount="2.5")
        refund = (await create_refund(tx, merchant, new, POLICY))["id"]
    payout = await world.promise(merchant, "USDC", 7_500000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout, refund))
    assert await world.held("USDC", recipient(1)) == 7_500000
    assert await world.held("USDC", recipient(2)) == 2_500000
    rows = [await world.payout(payout), await world.payout(refund)]
    assert rows[0]["batch_id"] == rows[1]["batch_id"]
    async with world.ledger.reading() as tx:
        found, _ = await list_events(tx, merchant, PageQuery(limit=100))
    told = [event["type"] for event in found if event["data"]["id"] == refund]
    assert told == ["refund.paid", "payout.submitted", "payout.queued"]


@ONE_DATABASE
async def test_refund_to_an_address_of_the_house__on_hold_and_nothing_is_sent_there(
    world: World,
) -> None:
    """A gateway without the keys does not know these addresses: it takes the refund."""
    merchant = await world.merchant()
    await world.deposited(merchant, "USDC", 10_000000)
    ours = [world.contracts.treasury, world.keys.sponsor("payouts").address]
    refunds = []
    async with world.ledger.transaction() as tx:
        invoice = await tx.conn.scalar(sa.select(payments.c.invoice_id))
        for address in ours:
            new = NewRefund(invoice, address, amount="1")
            refunds.append((await create_refund(tx, merchant, new, POLICY))["id"])
    payout = await world.promise(merchant, "USDC", 8_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    for refund in refunds:
        row = await world.payout(refund)
        assert (row["status"], row["reason"]) == ("on_hold", REFUSED)


@ONE_DATABASE
async def test_f25_refund_larger_than_an_entry_of_a_batch__on_hold_and_the_others_are_paid(
    world: World,
) -> None:
    merchant = await world.merchant()
    for _ in range(2):
        await world.paid_invoice(merchant, "DAI", 2**95)
    await world.watch(mine=4)
    large = await world.promise(merchant, "DAI", 2**96, recipient(2))
    other = await world.merchant()
    await world.deposited(other, "DAI", 5)
    payout = await world.promise(other, "DAI", 5, recipient(3))
    await world.settle(world.service(), world.all_are("paid", payout))
    row = await world.payout(large)
    assert (row["status"], row["reason"]) == ("on_hold", TOO_LARGE)
