"""Ledger against chain: what is ours, what is not, and where a difference comes from."""

from __future__ import annotations

from config.units import Address, checksum
from settlement.reconcile import reconcile
from tests.chain.settlement.world import World, recipient


async def test_reconcile__money_sent_straight_to_the_treasury__named_by_its_transaction(
    world: World,
) -> None:
    await world.pay("USDC", world.contracts.treasury, 77)
    await world.watch(mine=1)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert not found.agrees
    assert found.difference("USDC") == 77
    assert len(found.causes) == 1
    assert found.causes[0].startswith("treasury USDC: 0.000077 came from 0x")


async def test_reconcile__payment_seen_but_not_confirmed__counts(world: World) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 5)
    await world.watch()
    await world.agrees()


async def test_reconcile__money_left_without_a_booking__difference(world: World) -> None:
    merchant = await world.merchant()
    deposit = await world.paid_invoice(merchant, "USDC", 1_000)
    await world.watch(mine=1)
    await world.run(world.tokens["USDC"], "mint(address,uint256)", deposit, 0)
    await world.rpc.call("anvil_impersonateAccount", "0x" + deposit.hex())
    await world.fund(deposit, 10**18)
    from chain.erc20 import encode_transfer
    from config.units import Amount

    data = encode_transfer(Address(b"\x77" * 20), Amount(400))
    sent = {
        "from": "0x" + deposit.hex(),
        "to": "0x" + world.tokens["USDC"].hex(),
        "data": "0x" + data.hex(),
    }
    await world.rpc.call("eth_sendTransaction", sent)
    await world.watch(mine=2)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert found.difference("USDC") == -400
    (cause,) = found.causes
    stranger = checksum(Address(b"\x77" * 20))
    assert cause.startswith(f"deposits USDC: 0.0004 went out to {stranger} in 0x")


async def test_reconcile__booked_sweeps_and_payouts__are_not_blamed(world: World) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 5_000000)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 5_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", payout))
    await world.pay("USDC", world.contracts.treasury, 77)
    await world.watch(mine=1)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert [c[:24] for c in found.causes] == ["treasury USDC: 0.000077 "]
