"""One address, two invoices: the whole road twice on a real chain, the second time cheaper."""

from __future__ import annotations

from datetime import timedelta

from config.units import Address
from ledger.cursors import get_cursor
from ledger.invoices import InvoiceSpec, create_invoices, load_views
from ledger.payment_moves import mark_final
from ledger.schema import transactions
from tests.chain.settlement.world import World, recipient
from wallets.derivation import DepositDeriver

AMOUNT = 8_000000
REST = timedelta(hours=1)


async def invoice(world: World, merchant: str) -> tuple[str, Address]:
    now = world.clock.now()
    token = world.ledger.catalogue.token("anvil", "USDC")
    hour = timedelta(hours=1)
    spec = InvoiceSpec(AMOUNT, "USD", (token,), now + hour, now + 2 * hour)
    derive = DepositDeriver(world.keys.deposit_xpub).addresses
    async with world.ledger.transaction() as tx:
        (made,) = await create_invoices(tx, merchant, [spec], derive, reuse=REST)
        view = (await load_views(tx, [made]))[made]
    return made, Address(bytes.fromhex(view["address"][2:]))


async def paid_out(world: World, merchant: str, deposit: Address) -> None:
    await world.pay("USDC", deposit, AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    async with world.ledger.transaction() as tx:
        cursor = await get_cursor(tx, "anvil")
        assert cursor is not None
        mark_final(tx, "anvil", cursor.final.number)


async def test_reuse__invoice_sweep_invoice_sweep__same_address__paid_twice_at_less_gas(
    world: World,
) -> None:
    merchant = await world.merchant()
    first, deposit = await invoice(world, merchant)
    await paid_out(world, merchant, deposit)
    await world.watch(mine=4)
    assert (await invoice(world, merchant))[1] != deposit  # still the first one's

    hours = 3600 * 4
    await world.rpc.call("evm_increaseTime", hex(hours))
    world.clock.advance(hours)
    await world.watch(mine=1)
    second, again = await invoice(world, merchant)
    assert again == deposit
    await paid_out(world, merchant, again)

    async with world.ledger.reading() as tx:
        views = await load_views(tx, [first, second])
        query = transactions.select().where(transactions.c.purpose == "sweep")
        sweeps = (await tx.conn.execute(query.order_by(transactions.c.id))).all()
    for made in (first, second):
        assert views[made]["status"] == "paid"
        assert [p["amount"] for p in views[made]["payments"]] == ["8.00"]
    # EIP-7702 needs a transaction of type 4 once; then type 2 does, without an authorization.
    assert [s.raw[0] for s in sweeps] == [4, 2]
    assert sweeps[1].gas_used < sweeps[0].gas_used
    assert await world.held("USDC", recipient(1)) == 2 * AMOUNT
    await world.agrees()
