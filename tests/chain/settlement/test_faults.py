"""What goes wrong on the way out, and what each costs: time, never money."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from chain.model import FeeQuote, TxRequest
from chain.rpc.errors import Unreachable
from chain.send import SendOutcome, SendResult
from config.catalogue import Catalogue
from config.chains import FeeCap
from config.units import Address, to_hex
from ledger.attempts import open_attempts
from ledger.batches import open_batches
from ledger.books import totals_of
from ledger.destinations import REVOKED, NewDestination, create_destination, revoke_destination
from ledger.figures import read_figures
from ledger.holds import open_holds, release_hold
from ledger.lanes import get_lane
from ledger.pauses import pause, resume
from ledger.payouts import PayoutMove, lock_payouts, move_payouts
from ledger.postings import AccountKind, AccountRef
from ledger.schema import holds, payouts, transactions
from ledger.states import PayoutStatus
from settlement.payouts import BLACKLISTED, TOKEN_PAUSED
from tests.chain.settlement.world import SpyingClient, World, recipient
from tests.support.dev_chain import address_of, dev_account

AMOUNT = 5_000001


async def funded(world: World, symbol: str = "USDC", to: Address | None = None) -> str:
    """A payout whose money lies at a deposit address."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, symbol, AMOUNT)
    await world.watch(mine=4)
    return await world.promise(merchant, symbol, AMOUNT, to or recipient(world.merchants))


async def until_sent(world: World, service: object, lane: str) -> None:
    """Tick until the lane has something in flight."""
    for _ in range(30):
        await service.tick()  # type: ignore[attr-defined]
        async with world.ledger.reading() as tx:
            if await open_attempts(tx, "anvil", lane):
                return
        await world.watch(mine=1)
    raise AssertionError("nothing was sent")


async def statuses(world: World) -> list[str]:
    async with world.ledger.reading() as tx:
        rows = await tx.conn.execute(transactions.select().order_by(transactions.c.id))
        return [row.status for row in rows]


async def test_f21_blacklisted_recipient__set_aside_before_sealing__others_paid(
    world: World,
) -> None:
    bad, listed = recipient(666), recipient(667)
    await world.run(world.tokens["USDC"], "blacklist(address)", bad)
    await world.run(world.tokens["USDT"], "addBlackList(address)", listed)
    good = await funded(world)
    refused = await funded(world, to=bad)
    tether = await funded(world, "USDT", listed)

    service = world.service()
    await world.settle(service, world.all_are("paid", good))
    await world.settle(service, world.all_are("on_hold", refused, tether))

    assert "blacklisted" in (await world.payout(refused))["reason"]
    assert (await world.payout(tether))["reason"] == BLACKLISTED
    assert await world.held("USDT", listed) == 0, "Tether pays whom it has listed"
    await world.run(world.tokens["USDC"], "unBlacklist(address)", bad)
    async with world.ledger.transaction() as tx:
        hold = next(h for h in await open_holds(tx) if h.object_id == refused)
        await release_hold(tx, hold.id)
    await world.settle(service, world.all_are("paid", refused))
    assert await world.held("USDC", bad) == AMOUNT


async def test_f21_recipient_blacklisted_after_sealing__fails_alone__on_hold_after_finality(
    world: World,
) -> None:
    bad = recipient(666)
    good = await funded(world)
    refused = await funded(world, to=bad)
    spy = SpyingClient(world.client)

    async def listed_at_the_last_moment(raw: bytes) -> SendResult:
        async with world.ledger.reading() as tx:
            if await open_batches(tx, "anvil", "payouts"):
                await world.run(world.tokens["USDC"], "blacklist(address)", bad)
        return await world.client.send_raw(raw)

    spy.answer = listed_at_the_last_moment
    await world.settle(world.service(client=spy), world.all_are("paid", good))
    row = await world.payout(refused)
    assert (row["status"], row["batch_id"]) == ("on_hold", None)
    assert "blacklisted" in row["reason"]
    assert await world.held("USDC", world.contracts.treasury) == AMOUNT
    async with world.ledger.reading() as tx:
        treasury = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
        assert (await totals_of(tx, [treasury]))[treasury].credits_pending == 0


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f21_blacklisted_after_sealing__its_address_revoked_meanwhile__canceled_not_sealed_again(
    world: World,
) -> None:
    """Released, it would be refused and held again for ever; or be paid where nobody wants it."""
    bad = recipient(666)
    refused = await funded(world, to=bad)
    async with world.ledger.transaction() as tx:
        row = (await tx.conn.execute(payouts.select().where(payouts.c.id == refused))).one()
        new = NewDestination("anvil", None, bad)
        made = await create_destination(
            tx, row.merchant_id, new, cooling_off=timedelta(0), refused=()
        )
    spy = SpyingClient(world.client)

    async def listed_and_revoked(raw: bytes) -> SendResult:
        async with world.ledger.transaction() as tx:
            sealed = await open_batches(tx, "anvil", "payouts")
            if sealed:
                await revoke_destination(tx, row.merchant_id, made["id"])
        if sealed:
            await world.run(world.tokens["USDC"], "blacklist(address)", bad)
        return await world.client.send_raw(raw)

    spy.answer = listed_and_revoked
    service = world.service(client=spy)
    await world.settle(service, world.all_are("on_hold", refused))
    await world.run(world.tokens["USDC"], "unBlacklist(address)", bad)
    async with world.ledger.transaction() as tx:
        hold = next(h for h in await open_holds(tx) if h.object_id == refused)
        await release_hold(tx, hold.id)
    await world.settle(service, world.all_are("canceled", refused))
    assert (await world.payout(refused))["reason"] == REVOKED
    assert await world.held("USDC", bad) == 0


async def test_f21_paused_token__waits_on_hold__goes_on_by_itself(world: World) -> None:
    payout, other = await funded(world), await funded(world, "DAI")
    service = world.service()
    await until_sent(world, service, "sweeps")
    await world.watch(mine=1)
    await world.run(world.tokens["USDC"], "setPaused(bool)", True)
    await world.settle(service, world.all_are("paid", other))
    assert (await world.payout(payout))["reason"] == TOKEN_PAUSED
    await world.run(world.tokens["USDC"], "setPaused(bool)", False)
    await world.settle(service, world.all_are("paid", payout))


async def test_f21_empty_sponsor__waits_with_a_hold__goes_on_when_funded(world: World) -> None:
    sponsor = world.keys.sponsor("payouts").address
    await world.fund(sponsor, 1000)
    payout = await funded(world)
    service = world.service()
    for _ in range(12):
        await service.tick()
        await world.watch(mine=1)
    assert (await world.payout(payout))["status"] == "batched"
    async with world.ledger.reading() as tx:
        (hold,) = await open_holds(tx)
    assert "native coin" in hold.reason
    await world.fund(sponsor, 10**20)
    await world.settle(service, world.all_are("paid", payout))
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []


async def test_f15_base_fee_spikes__replaced_at_a_higher_price__one_is_mined(
    world: World,
) -> None:
    payout = await funded(world)
    service = world.service()
    await world.rpc.call("evm_setAutomine", False)
    await until_sent(world, service, "sweeps")
    await world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(40 * 10**9))
    await world.mine()
    world.clock.advance(31)
    await service.tick()
    async with world.ledger.reading() as tx:
        first, second = await open_attempts(tx, "anvil", "sweeps")
    assert (first.nonce, second.attempt) == (second.nonce, 1)
    assert second.max_fee * 10 >= first.max_fee * 11
    assert second.max_tip * 10 >= first.max_tip * 11
    await world.rpc.call("evm_setAutomine", True)
    await world.settle(service, world.all_are("paid", payout))
    assert "replaced" in await statuses(world)


async def test_f15_base_fee_over_the_cap__waits__and_recovers(world: World) -> None:
    payout = await funded(world)
    await world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(500 * 10**9))
    await world.watch(mine=1)
    service = world.service()
    await service.tick()
    assert world.observer.count("waiting_for_lower_fees") > 0
    async with world.ledger.reading() as tx:
        (hold,) = await open_holds(tx)
        assert (await read_figures(tx)).fee_waits == {("anvil", "sweeps")}
    assert hold.object_id == "anvil/sweeps/fees"
    assert "fee_cap.gwei allows 200.000" in hold.reason
    await world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    await world.watch(mine=1)
    await world.settle(service, world.all_are("paid", payout))
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []


async def test_f15_base_fee_times_twenty_in_flight__bumped_to_the_cap_then_waits_and_recovers(
    world: World,
) -> None:
    world.chain = world.chain.model_copy(update={"fee_cap": FeeCap(gwei=10)})
    payout = await funded(world)
    service = world.service()
    await world.rpc.call("evm_setAutomine", False)
    await until_sent(world, service, "sweeps")
    await world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
    await world.mine()
    for _ in range(6):
        world.clock.advance(31)
        await service.tick()
    async with world.ledger.reading() as tx:
        attempts = await open_attempts(tx, "anvil", "sweeps")
        (hold,) = await open_holds(tx)
    assert len(attempts) > 1
    assert max(a.max_fee for a in attempts) <= 10 * 10**9, "the cap is the cap"
    assert hold.object_id == "anvil/sweeps/fees"
    await world.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    await world.rpc.call("evm_setAutomine", True)
    await world.mine()
    await world.settle(service, world.all_are("paid", payout))
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []


async def test_f15_share_of_the_batchs_value__waits_until_the_price_is_right(world: World) -> None:
    cheap = world.chain.model_copy(update={"native_price": {"USD": 10**12}})
    world.chain, configured = cheap, world.chain
    payout = await funded(world)
    await world.watch(mine=1)
    await world.service().tick()
    async with world.ledger.reading() as tx:
        (hold,) = await open_holds(tx)
    assert "fee_cap.batch_bps" in hold.reason
    world.clock.advance(11)
    world.chain = configured.model_copy(update={"native_price": {"USD": 1_000000}})
    await world.settle(world.service(), world.all_are("paid", payout))


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f15_f21_batch_that_is_not_worth_its_gas__waits_alone__those_behind_it_are_paid(
    world: World,
) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 10**13)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 10**9, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    tiny = await world.promise(merchant, "USDC", 1, recipient(1))
    gone = SpyingClient(world.client)

    async def estimate_gas(request: TxRequest) -> int:
        if request.to == world.contracts.treasury:
            raise Unreachable("no estimate", where="anvil")
        return await world.client.estimate_gas(request)

    gone.estimate_gas = estimate_gas
    world.clock.advance(11)
    service = world.service(client=gone)
    for _ in range(3):
        with suppress(Unreachable):
            await service.tick()
    assert (await world.payout(tiny))["status"] == "batched"
    large = await world.promise(merchant, "USDC", 10**12, recipient(1))
    world.clock.advance(11)
    configured = world.chain
    world.chain = configured.model_copy(update={"native_price": {"USD": 2500_000000}})
    await world.settle(world.service(), world.all_are("paid", large))
    assert (await world.payout(tiny))["status"] == "batched"
    async with world.ledger.reading() as tx:
        assert "fee_cap.batch_bps" in (await open_holds(tx))[0].reason
        assert (await read_figures(tx)).fee_waits == {("anvil", "payouts")}
        kept = await tx.conn.execute(holds.select().where(holds.c.object_type == "fees"))
        assert len(list(kept)) == 1, "what is sent in its place does not end it"
    world.clock.advance(11)
    world.chain = configured
    await world.settle(world.service(), world.all_are("paid", tiny))
    async with world.ledger.reading() as tx:
        assert [h for h in await open_holds(tx) if h.object_type == "fees"] == []


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f15_payout_that_is_not_worth_its_gas__waits_unsealed__goes_with_the_next(
    world: World,
) -> None:
    """Sealed alone it would wait for lower fees, and nothing could be added to its batch."""
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 10**13)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 10**9, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    world.chain = world.chain.model_copy(update={"native_price": {"USD": 2500_000000}})
    world.clock.advance(11)
    service = world.service()
    small = await world.promise(merchant, "USDC", 10**7, recipient(1))
    for _ in range(3):
        await service.tick()
        await world.watch(mine=1)
    assert (await world.payout(small))["status"] == "queued"
    async with world.ledger.reading() as tx:
        (hold,) = [h for h in await open_holds(tx) if h.object_type == "fees"]
    assert hold.object_id == "anvil/payouts/fees/token:USDC"
    assert "fee_cap.batch_bps" in hold.reason
    large = await world.promise(merchant, "USDC", 10**9, recipient(1))
    await world.settle(service, world.all_are("paid", small, large))
    async with world.ledger.reading() as tx:
        assert [h for h in await open_holds(tx) if h.object_type == "fees"] == []
    assert world.observer.sealed[-1] == ("payouts", 2)
    canceled = await world.promise(merchant, "USDC", 10**7, recipient(1))
    await service.tick()
    async with world.ledger.transaction() as tx:
        rows = await lock_payouts(tx, [canceled])
        await move_payouts(tx, [PayoutMove(rows[0], PayoutStatus.CANCELED)])
    await service.tick()
    async with world.ledger.reading() as tx:
        assert [h for h in await open_holds(tx) if h.object_type == "fees"] == []


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
async def test_f15_batch_full_of_payouts_not_worth_their_gas__larger_ones_behind_them_are_paid(
    world: World,
) -> None:
    """A merchant who asks for many tiny refunds must not stop everybody's payouts of that token."""
    world.settings = world.settings.model_copy(update={"max_batch": 2})
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 10**13)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 10**9, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    world.chain = world.chain.model_copy(update={"native_price": {"USD": 2500_000000}})
    world.clock.advance(11)
    tiny = [await world.promise(merchant, "USDC", 1, recipient(n)) for n in range(1, 4)]
    world.clock.advance(1)
    large = [await world.promise(merchant, "USDC", n * 10**9, recipient(n)) for n in (2, 3, 4)]
    await world.settle(world.service(), world.all_are("paid", *large))
    assert await world.all_are("queued", *tiny)()
    async with world.ledger.reading() as tx:
        (hold,) = [h for h in await open_holds(tx) if h.object_type == "fees"]
    assert hold.object_id == "anvil/payouts/fees/token:USDC"


@pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("max_batch", [400, 20], ids=["one batch", "several"])
async def test_f15_large_payout_among_many_not_worth_their_gas__goes_without_them(
    world: World, max_batch: int
) -> None:
    """All of them together, or a batch of the largest, are not worth it: some of them are."""
    world.settings = world.settings.model_copy(update={"max_batch": max_batch})
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "USDC", 10**13)
    await world.watch(mine=4)
    first = await world.promise(merchant, "USDC", 10**9, recipient(1))
    await world.settle(world.service(), world.all_are("paid", first))
    world.chain = world.chain.model_copy(update={"native_price": {"USD": 2500_000000}})
    world.clock.advance(11)
    client = SpyingClient(world.client)
    quote = FeeQuote(10 * 10**9, 1)

    async def fees() -> FeeQuote:
        return quote

    client.fees = fees
    tiny = [await world.promise(merchant, "USDC", 1, recipient(n)) for n in range(1, 31)]
    # A gas limit of 389,000 for one, 650,000 for twenty: at 10 gwei 9.72 and 16.25 USDC.
    cap = world.chain.fee_cap.batch_bps
    large = await world.promise(merchant, "USDC", 15_000000 * 10_000 // cap, recipient(1))
    service = world.service(client=client)
    await world.settle(service, world.all_are("paid", large))
    assert await world.all_are("queued", *tiny)()


async def test_treasury_floor__payouts_never_draw_below_it__and_go_once_more_has_come(
    world: World,
) -> None:
    payout = await funded(world)
    merchant = await world.merchant()
    (usdc, *others) = world.chain.tokens
    floor = usdc.model_copy(update={"treasury_floor": "2"})
    world.chain = world.chain.model_copy(update={"tokens": (floor, *others)})
    world.ledger.catalogue = Catalogue([world.chain])
    service = world.service()
    for _ in range(12):
        await service.tick()
        await world.watch(mine=1)
    assert (await world.payout(payout))["status"] == "queued"
    await world.paid_invoice(merchant, "USDC", 2_000000)
    await world.watch(mine=4)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", world.contracts.treasury) == 2_000000


async def test_f17_older_replacement_is_mined__accounted_for(world: World) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    await world.rpc.call("evm_setAutomine", False)
    await until_sent(world, service, "sweeps")
    async with world.ledger.reading() as tx:
        (first,) = await open_attempts(tx, "anvil", "sweeps")

    async def swallowed(raw: bytes) -> SendResult:
        return SendResult(SendOutcome.unknown, "504 Gateway Timeout")

    spy.answer = swallowed
    world.clock.advance(31)
    await service.tick()
    spy.answer = None
    assert world.observer.replacements == 1
    await world.rpc.call("evm_setAutomine", True)
    await world.mine()
    await world.settle(service, world.all_are("paid", payout))
    async with world.ledger.reading() as tx:
        rows = list(await tx.conn.execute(transactions.select().order_by(transactions.c.id)))
    final = next(row for row in rows if row.tx_hash == first.tx_hash)
    assert final.status == "final"
    assert [r.status for r in rows if r.nonce == first.nonce and r.lane == "sweeps"] == [
        "final",
        "replaced",
    ]


@pytest.mark.parametrize("accepted", [True, False])
async def test_f14_unknown_send_error__decided_by_hash_and_nonce(
    world: World, accepted: bool
) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)

    async def unknown(raw: bytes) -> SendResult:
        if accepted:
            await world.client.send_raw(raw)
        return SendResult(SendOutcome.unknown, "502 Bad Gateway")

    spy.answer = unknown
    service = world.service(client=spy)
    await until_sent(world, service, "sweeps")
    if not accepted:
        spy.answer = None
        world.clock.advance(61)
    await world.settle(service, world.all_are("paid", payout))
    assert all(nonces == [0] for nonces in _nonces(spy).values())


def _nonces(spy: SpyingClient) -> dict[Address, list[int]]:
    found: dict[Address, list[int]] = {}
    for sender, nonce in spy.sent:
        found.setdefault(sender, []).append(nonce)
    return found


async def test_f16_nonce_too_low_for_bytes_already_mined__found_by_their_hash(
    world: World,
) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)

    async def mined_before_the_answer(raw: bytes) -> SendResult:
        await world.client.send_raw(raw)
        await world.mine()
        return await world.client.send_raw(raw)

    spy.answer = mined_before_the_answer
    await world.settle(world.service(client=spy), world.all_are("paid", payout))
    assert set(await statuses(world)) == {"final"}


async def test_f18_somebody_else_used_the_key__idle_lane_halts(world: World) -> None:
    service = world.service()
    await service.tick()
    payout = await funded(world)
    sponsor = world.keys.sponsor("sweeps").address
    await world.rpc.call("anvil_impersonateAccount", to_hex(sponsor))
    tx = {"from": to_hex(sponsor), "to": to_hex(sponsor), "value": "0x0"}
    await world.rpc.call("eth_sendTransaction", tx)
    await world.watch(mine=2)
    for _ in range(5):
        await service.tick()
        await world.watch(mine=1)
    async with world.ledger.reading() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
        (hold,) = await open_holds(tx)
    assert lane is not None
    assert "somebody else" in (lane.halted_reason or "")
    assert hold.kind == "lane"
    assert (await world.payout(payout))["status"] == "queued"


async def test_f18_nonce_taken_by_a_stranger_in_flight__halts_at_finality_only(
    world: World,
) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)

    async def swallowed(raw: bytes) -> SendResult:
        return SendResult(SendOutcome.unknown, "")

    spy.answer = swallowed
    service = world.service(client=spy)
    await until_sent(world, service, "sweeps")
    sponsor = to_hex(world.keys.sponsor("sweeps").address)
    await world.rpc.call("anvil_impersonateAccount", sponsor)
    await world.rpc.call("eth_sendTransaction", {"from": sponsor, "to": sponsor, "value": "0x0"})
    world.clock.advance(31)
    await service.tick()
    async with world.ledger.reading() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
    assert lane is not None
    assert lane.halted_reason is None, "one block says nothing: it may be reorged"
    await world.watch(mine=4)
    world.clock.advance(31)
    await service.tick()
    async with world.ledger.reading() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
    assert lane is not None
    assert "not ours" in (lane.halted_reason or "")
    assert (await world.payout(payout))["status"] == "queued"


async def test_f13_reorg_after_mined__back_to_broadcast_and_paid_once(world: World) -> None:
    payout = await funded(world)
    service = world.service()
    await until_sent(world, service, "payouts")
    await world.watch(mine=1)
    await service.tick()
    async with world.ledger.reading() as tx:
        (attempt,) = await open_attempts(tx, "anvil", "payouts")
    assert attempt.status == "mined"
    await world.agrees()
    # The removed transactions are not put back: they are gone from chain and mempool.
    await world.rpc.call("anvil_reorg", 2, [])
    await world.watch()
    await service.tick()
    assert world.observer.count("transaction_reorged") == 1
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT


async def test_f19_two_processes__one_leads__the_other_after_the_lease(world: World) -> None:
    payout = await funded(world)
    first, second = world.service(), world.service()
    assert await first.tick()
    assert not await second.tick()
    world.clock.advance(11)
    assert await second.tick()
    assert not await first.tick()
    await world.settle(second, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT


async def test_pause__stops_new_sends_in_one_tick__in_flight_is_followed(world: World) -> None:
    payout = await funded(world)
    service = world.service()
    await until_sent(world, service, "sweeps")
    async with world.ledger.transaction() as tx:
        await pause(tx, "all", "drill")
    for _ in range(8):
        await service.tick()
        await world.watch(mine=1)
    assert await statuses(world) == ["final"], "the sweep in flight was followed to its end"
    assert (await world.payout(payout))["status"] == "queued"
    async with world.ledger.transaction() as tx:
        await resume(tx, "all")
    await world.settle(service, world.all_are("paid", payout))


async def test_stranger_submits_our_signed_batch__adopted_not_paid_again(world: World) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)
    service = world.service(client=spy)

    async def front_run(raw: bytes) -> SendResult:
        async with world.ledger.reading() as tx:
            batches = await open_batches(tx, "anvil", "payouts")
        if batches and not done:
            done.append(True)
            await world.dev.must(dev_account(4), world.contracts.treasury, batches[0].calldata)
        return await world.client.send_raw(raw)

    done: list[bool] = []
    spy.answer = front_run
    await world.settle(service, world.all_are("paid", payout))
    assert done
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
    assert world.observer.count("execution_adopted") == 1
    assert "reverted" in await statuses(world)
    row = await world.payout(payout)
    assert row["tx_hash"] is not None
    receipt = await world.client.receipt(row["tx_hash"])
    assert receipt is not None
    assert receipt.sender == address_of(dev_account(4)), "the transaction that paid is told"


async def test_f22_token_that_keeps_a_fee__loss_is_booked(world: World) -> None:
    merchant = await world.merchant()
    await world.paid_invoice(merchant, "FEE", 1_000_000)
    await world.watch(mine=4)
    service = world.service()
    payout = await world.promise(merchant, "FEE", 900_000, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    async with world.ledger.reading() as tx:
        loss = AccountRef(AccountKind.TOKEN_LOSS, "anvil", "FEE")
        lost = (await totals_of(tx, [loss]))[loss].debits_posted
    assert lost == 9_900
