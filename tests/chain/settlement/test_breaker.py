"""Ledger and chain disagree: that token's payouts stop, the others go on, a person resumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from chain.abi import encode_call
from chain.client import ChainClient
from chain.erc20 import encode_transfer
from chain.model import Log, Receipt
from chain.rpc.errors import Unreachable
from config.models import UnusualOutflow
from config.units import Address, Amount, Hash32, to_hex
from ledger.books import totals_of
from ledger.holds import hold, open_holds, release_hold
from ledger.pauses import active_pauses, pause, resume
from ledger.postings import AccountKind, AccountRef, balance
from settlement.breaker import judge
from settlement.reconcile import AccountRow, Reconciliation
from settlement.service import ChainSettlement
from tests.chain.settlement.test_lanes import owner_sends
from tests.chain.settlement.world import Crash, SpyingClient, World, recipient

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


async def stolen(world: World, amount: int, holder: Address | None = None) -> Hash32:
    """The treasury, or another, loses tokens in a way that no contract of ours knows."""
    holder = holder or world.contracts.treasury
    treasury = to_hex(holder)
    await world.rpc.call("anvil_impersonateAccount", treasury)
    await world.fund(holder, 10**18)
    data = encode_transfer(Address(b"\x77" * 20), Amount(amount))
    sent = {"from": treasury, "to": to_hex(world.tokens["USDC"]), "data": to_hex(data)}
    return Hash32(bytes.fromhex((await world.rpc.call("eth_sendTransaction", sent))[2:]))


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


class Emptied(SpyingClient):
    """The treasury has lost some USDC since it was simulated."""

    token: Address | None = None

    async def token_balances(
        self, token: Address, owners: Sequence[Address], *block: Any
    ) -> list[int]:
        found = await self._client.token_balances(token, owners, *block)
        return [n - (token == self.token and not block) for n in found]


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f21_treasury_short_of_one_token__breaker_has_not_tripped__others_are_paid(
    world: World,
) -> None:
    client = Emptied(world.client)
    client.token = world.tokens["USDC"]
    merchant = await world.merchant()
    for symbol in ("USDC", "DAI"):
        await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.watch(mine=4)
    short = await world.promise(merchant, "USDC", AMOUNT, recipient(1))
    other = await world.promise(merchant, "DAI", AMOUNT, recipient(1))
    service = world.service(client=client)
    await world.settle(service, world.all_are("paid", other))
    assert (await world.payout(short))["status"] == "queued"
    async with world.ledger.reading() as tx:
        assert [h.object_id for h in await open_holds(tx)] == ["anvil/USDC/treasury"]
    client.token = None
    await world.settle(service, world.all_are("paid", short))
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f21_treasury_has_less_than_the_books__no_payout_is_put_on_hold__paid_when_it_has(
    world: World,
) -> None:
    """The token refuses each of them: it is not the recipients that anything is wrong with."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    service = world.service()
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    await stolen(world, AMOUNT - 3)
    waits = [await world.promise(merchant, "USDC", 2, recipient(number)) for number in (1, 2)]
    await service.tick()
    assert await world.all_are("queued", *waits)()
    async with world.ledger.reading() as tx:
        assert [h.object_id for h in await open_holds(tx)] == ["anvil/USDC/treasury"]
    await world.mint("USDC", world.contracts.treasury, AMOUNT - 3)
    await world.settle(service, world.all_are("paid", *waits), audit=False)


async def test_breaker__gas_price_out_of_reach__money_gone_stops_payouts_all_the_same(
    world: World,
) -> None:
    """What is measured after the comparison may fail without taking the difference with it."""
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))

    async def refuses() -> NoReturn:
        raise Unreachable("no fee history", where="anvil")

    spy.fees = refuses
    await stolen(world, 3)
    await minutes(world, service)
    assert world.observer.count("measuring_failed") > 0
    assert await pauses(world) == ["payouts:anvil/USDC"]


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


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_breaker__gifts_that_are_final_only_at_the_next_look__nothing_stops(
    world: World,
) -> None:
    """Whoever funds the treasury in parts, or a stranger with two units, must not stop payouts."""
    service = world.service()
    await minutes(world, service)

    async def look() -> None:
        await world.watch()
        for _ in range(9):
            world.clock.advance(7)
            assert await service.tick()

    for amount in (77, 1):
        await world.pay("USDC", world.contracts.treasury, amount)
        await look()
        await world.mine(8)
    await look()
    assert await pauses(world) == []
    async with world.ledger.reading() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_IN, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 78


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_breaker__more_gone_than_a_stranger_gave__both_are_booked(world: World) -> None:
    """A gift that is passed over because the sum is negative would be a difference for ever."""
    service = world.service()
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    await stolen(world, 100)
    await world.pay("USDC", world.contracts.treasury, 77)
    for _ in range(48):  # so often that the lease does not lapse
        await world.watch(mine=1)
        world.clock.advance(3)
        assert await service.tick()
    await world.agrees()
    async with world.ledger.reading() as tx:
        holds = [h.object_id for h in await open_holds(tx) if h.object_type == "breaker"]
    assert holds == ["anvil/USDC/suspense"]


class Forgetful(SpyingClient):
    """The only provider there is shows no logs for a while."""

    empty = False

    async def logs(self, *asked: Any) -> list[Log]:
        return [] if self.empty else await self._client.logs(*asked)


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f05_gift_and_outflow_that_one_provider_left_out_at_a_start__found_once_they_differ(
    world: World,
) -> None:
    client = Forgetful(world.client)
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(world.service(client=client), world.all_are("paid", first))
    await world.pay("USDC", world.contracts.treasury, 77)
    await stolen(world, 100)
    await world.watch(mine=8)
    world.clock.advance(11)
    client.empty = True
    service = world.service(client=client)
    await service.tick()
    client.empty = False
    for _ in range(32):
        await world.watch(mine=1)
        world.clock.advance(3)
        assert await service.tick()
    await world.agrees()
    async with world.ledger.reading() as tx:
        holds = [h.object_id for h in await open_holds(tx) if h.object_type == "breaker"]
    assert holds == ["anvil/USDC/suspense"]
    assert world.observer.count("outflow_adopted") == 1


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_gift_while_no_process_leads__suspense_in_at_the_next_start_and_nothing_stops(
    world: World,
) -> None:
    """What came in before a start is never looked at again once the start has compared past it."""
    await minutes(world, world.service())
    await world.pay("USDC", world.contracts.treasury, 77)
    await world.watch(mine=8)
    world.clock.advance(11)  # the lease is over: a new comparison
    await minutes(world, world.service())
    assert await pauses(world) == []
    await world.agrees()


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f20_gift_and_then_all_taken_while_no_process_leads__the_gift_is_booked_once(
    world: World,
) -> None:
    """What the books lacked of the outflow was the gift: it must not be covered by name as well."""
    service = world.service()
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    await world.pay("USDC", world.contracts.treasury, 77)
    await stolen(world, AMOUNT - 1 + 77)
    await world.watch(mine=8)
    world.clock.advance(11)
    await minutes(world, world.service())
    await world.agrees()
    async with world.ledger.reading() as tx:
        ref = AccountRef(AccountKind.SUSPENSE_IN, "anvil", "USDC")
        assert balance(ref.kind, (await totals_of(tx, [ref]))[ref]) == 77


async def test_f20_outflow_of_what_a_sealed_batch_draws_on__batch_void__released__the_books_agree(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The treasury is not booked below what is drawn on: what covered that is taken back."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    service = world.service()
    await world.settle(service, world.all_are("paid", first))
    await world.promise(merchant, "USDC", AMOUNT - 1, recipient(2))

    async def dies(*_: object, **__: object) -> object:
        raise Crash

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr("settlement.lanes.dispatch.sign_batch", dies)
        await minutes(world, service)
    await stolen(world, AMOUNT - 1)
    await world.watch(mine=8)
    world.clock.advance(11)
    again = world.service()
    await minutes(world, again)
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))
    await world.watch(mine=8)
    for _ in range(3):
        async with world.ledger.transaction() as tx:
            for held in [h for h in await open_holds(tx) if h.object_type == "breaker"]:
                await release_hold(tx, held.id)
        await minutes(world, again)
    await world.agrees()
    async with world.ledger.reading() as tx:
        suspense = [
            AccountRef(kind, "anvil", "USDC")
            for kind in (AccountKind.SUSPENSE_OUT, AccountKind.SUSPENSE_IN)
        ]
        totals = await totals_of(tx, suspense)
        assert [balance(ref.kind, totals[ref]) for ref in suspense] == [AMOUNT - 1, 0]


@pytest.mark.parametrize("taken", [3, AMOUNT - 1_000000], ids=["a little", "most of it"])
async def test_f20_outflow_that_nothing_explains__suspense_and_stop_at_the_next_start(
    world: World, taken: int
) -> None:
    """Looked at at several ticks until it is final for long enough, and booked once."""
    service = world.service()
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 1, recipient(1))
    await world.settle(service, world.all_are("paid", first))
    await stolen(world, taken)
    await world.watch(mine=1)
    world.clock.advance(11)
    again = world.service()
    for turn in range(20):
        await again.tick()
        if turn < 12:
            await stolen(world, 1)  # what is final is booked while the start waits for this
        await world.watch(mine=1)
    assert await pauses(world) == ["payouts:anvil/USDC"]
    await world.agrees()


async def test_breaker__unusual_outflow__stopped_before_it_leaves__goes_once_released(
    world: World,
) -> None:
    rule = UnusualOutflow(factor=3, floor="0", days=14)
    world.settings = world.settings.model_copy(update={"unusual_outflow": rule})
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 20_000000)
    await world.paid_invoice(merchant, "DAI", AMOUNT)
    await world.watch(mine=4)
    usual = await world.promise(merchant, "USDC", 8_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", usual))
    # 8 in the eight days that lie a day back: up to 3 a day are usual
    world.clock.advance(8 * 86_400 + 60)
    first = await world.promise(merchant, "USDC", 3_000000, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    more = await world.promise(merchant, "USDC", 4_000000, recipient(1))
    other = await world.promise(merchant, "DAI", 10, recipient(1))
    await world.settle(world.service(), world.all_are("paid", other))
    assert (await world.payout(more))["status"] == "queued"
    assert await pauses(world) == ["payouts:anvil/USDC"]
    async with world.ledger.transaction() as tx:
        (hold,) = await open_holds(tx)
        assert "unusual outflow: 7.00 USDC" in hold.reason
        assert "up to 3.00;" in hold.reason
        await release_hold(tx, hold.id)
    world.clock.advance(1)
    await world.settle(world.service(), world.all_are("paid", more))
    later = await world.promise(merchant, "USDC", 4_000000, recipient(1))
    for _ in range(3):
        await world.service().tick()
        world.clock.advance(11)
    assert (await world.payout(later))["status"] == "queued", "a release is no licence"


class OtherReceipts:
    """A client whose receipts tell of one unit more than was planned."""

    def __init__(self, client: ChainClient, token: Address, treasury: Address) -> None:
        self._client, self._token, self._from = client, token, treasury.rjust(32, b"\0")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def heeding(self, _heed: object) -> OtherReceipts:
        return self

    async def receipts(self, hashes: Sequence[Hash32]) -> list[Receipt | None]:
        return [r and self._changed(r) for r in await self._client.receipts(list(hashes))]

    def _changed(self, receipt: Receipt) -> Receipt:
        logs = [
            replace(log, data=(int.from_bytes(log.data) + 1).to_bytes(32))
            if log.address == self._token and log.topics[1] == self._from
            else log
            for log in receipt.logs
        ]
        return replace(receipt, logs=tuple(logs))


async def test_breaker__logs_of_a_payout_are_not_what_was_planned__that_chain_stops(
    world: World,
) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", AMOUNT)
    await world.watch(mine=4)
    payout = await world.promise(merchant, "USDC", 1_000000, recipient(1))
    client = OtherReceipts(world.client, world.tokens["USDC"], world.contracts.treasury)
    service = world.service(client=client)

    async def stopped() -> bool:
        return await pauses(world) == ["payouts:anvil"]

    await world.settle(service, stopped, audit=False)
    async with world.ledger.reading() as tx:
        (hold,) = await open_holds(tx)
    assert "1000001 base units left the treasury where 1000000 were planned" in hold.reason
    assert (await world.payout(payout))["batch_id"] is not None
    waits = await world.promise(merchant, "USDC", 5, recipient(1))
    for _ in range(4):
        await service.tick()
        await world.watch(mine=1)
    assert (await world.payout(waits))["status"] == "queued"
    async with world.ledger.transaction() as tx:
        await pause(tx, "payouts:anvil/DAI", "another reason")
        await release_hold(tx, hold.id)
    assert await pauses(world) == ["payouts:anvil/DAI"], "no wider than what it stopped"
    await world.settle(world.service(), world.all_are("paid", waits), audit=False, rounds=60)


async def test_breaker__two_reasons__released_one_by_one(world: World) -> None:
    ids = []
    async with world.ledger.transaction() as tx:
        for kind in ("difference", "outflow"):
            place = f"anvil/USDC/{kind}"
            ids.append(await hold(tx, "batch", "breaker", place, "because"))
        await pause(tx, "payouts:anvil/USDC", "because")
    for hold_id, left in zip(ids, (["payouts:anvil/USDC"], []), strict=True):
        async with world.ledger.transaction() as tx:
            await release_hold(tx, hold_id)
        assert await pauses(world) == left
