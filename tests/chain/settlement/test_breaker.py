"""Ledger and chain disagree: that token's payouts stop, the others go on, a person resumes."""

from __future__ import annotations

import pytest

from chain.erc20 import encode_transfer
from config.units import Address, Amount, to_hex
from ledger.books import totals_of
from ledger.holds import open_holds, release_hold
from ledger.pauses import active_pauses, pause, resume
from ledger.postings import AccountKind, AccountRef, balance
from settlement.breaker import judge
from settlement.reconcile import AccountRow, Reconciliation
from settlement.service import ChainSettlement
from tests.chain.settlement.world import World, recipient

AMOUNT = 5_000001


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


async def stolen(world: World, amount: int, holder: Address | None = None) -> None:
    """The treasury, or another, loses tokens in a way that no contract of ours knows."""
    holder = holder or world.contracts.treasury
    treasury = to_hex(holder)
    await world.rpc.call("anvil_impersonateAccount", treasury)
    await world.fund(holder, 10**18)
    data = encode_transfer(Address(b"\x77" * 20), Amount(amount))
    sent = {"from": treasury, "to": to_hex(world.tokens["USDC"]), "data": to_hex(data)}
    await world.rpc.call("eth_sendTransaction", sent)


async def minutes(world: World, service: ChainSettlement) -> None:
    """Some minutes under one lease."""
    for _ in range(30):
        await world.watch(mine=1)
        world.clock.advance(7)
        assert await service.tick()


async def pauses(world: World) -> list[str]:
    async with world.ledger.reading() as tx:
        return [p.scope for p in await active_pauses(tx)]


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
        async with world.ledger.transaction() as tx:
            await pause(tx, "sweeps")
        await stolen(world, 3, await world.paid_invoice(merchant, "USDC", AMOUNT))
    else:
        await stolen(world, 3)
    await minutes(world, service)
    if account == "deposit":
        async with world.ledger.transaction() as tx:
            await resume(tx, "sweeps")
    assert await pauses(world) == ["payouts:anvil/USDC"]
    stopped = await world.promise(merchant, "USDC", 10, recipient(1))
    other = await world.promise(merchant, "DAI", 10, recipient(1))
    await world.settle(service, world.all_are("paid", other), audit=False)
    assert (await world.payout(stopped))["status"] == "queued"
    async with world.ledger.transaction() as tx:
        (hold,) = [h for h in await open_holds(tx) if h.object_type == "breaker"]
        wanted = (
            "3 base units to 0x7777" if account == "treasury" else "0.000003 went out to 0x7777"
        )
        assert wanted in hold.reason
        await release_hold(tx, hold.id)
    assert await pauses(world) == []
    await world.settle(service, world.all_are("paid", stopped), audit=False)


async def test_breaker__strangers_gift_to_the_treasury__suspense_in_and_nothing_stops(
    world: World,
) -> None:
    service = world.service()
    await service.tick()
    assert service.status().leading
    await world.pay("USDC", world.contracts.treasury, 77)
    await minutes(world, service)
    assert await pauses(world) == []
    await world.agrees()
    async with world.ledger.reading() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_IN, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 77
        (hold,) = await open_holds(tx)
    assert "77 base units of USDC came directly from" in hold.reason


async def test_f20_outflow_that_nothing_explains__suspense_and_stop_at_the_next_start(
    world: World,
) -> None:
    service = world.service()
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    await stolen(world, 3)
    await world.watch(mine=1)
    world.clock.advance(11)
    again = world.service()
    for _ in range(12):
        await again.tick()
        await world.watch(mine=1)
    assert await pauses(world) == ["payouts:anvil/USDC"]
    await world.agrees()
