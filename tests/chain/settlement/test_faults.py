"""What goes wrong on the way out, and what each costs: time, never money."""

from __future__ import annotations

import pytest

from chain.send import SendOutcome, SendResult
from config.catalogue import Catalogue
from config.units import Address
from ledger.postings import AccountKind
from settlement.payouts import TOKEN_PAUSED
from tests.chain.settlement.clients import SpyingClient, swallowed
from tests.chain.settlement.scenes import (
    AMOUNT,
    PLENTY,
    funded,
    key_used_by_somebody_else,
    spied,
    stuck_batch,
    until_sent,
)
from tests.chain.settlement.world import World, recipient
from tests.support.dev_chain import address_of, dev_account


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
    payout, service, _ = await stuck_batch(world)
    assert await world.status(payout) == "batched"
    (hold,) = await world.holds()
    assert "native coin" in hold.reason
    await world.fund_sponsor("payouts", PLENTY)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.holds() == []


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
    await world.rounds(service, 12)
    assert await world.status(payout) == "queued"
    await world.deposited(merchant, "USDC", 2_000000)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", world.contracts.treasury) == 2_000000


async def test_f17_older_replacement_is_mined__accounted_for(world: World) -> None:
    payout, service, spy = await spied(world)
    await world.automine(False)
    await until_sent(world, service, "sweeps")
    (first,) = await world.attempts("sweeps")
    spy.answer = swallowed
    world.clock.advance(31)
    await service.tick()
    spy.answer = None
    assert world.observer.replacements == 1
    await world.automine(True)
    await world.mine()
    await world.settle(service, world.all_are("paid", payout))
    rows = await world.transactions("sweeps")
    final = next(row for row in rows if row.tx_hash == first.tx_hash)
    assert final.status == "final"
    assert [r.status for r in rows if r.nonce == first.nonce] == ["final", "replaced"]


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
    assert set(await world.attempt_statuses()) == {"final"}


async def test_f18_somebody_else_used_the_key__idle_lane_halts(world: World) -> None:
    service = world.service()
    await service.tick()
    payout = await funded(world)
    await key_used_by_somebody_else(world, "sweeps")
    await world.watch(mine=2)
    await world.rounds(service, 5)
    lane = await world.lane("sweeps")
    (hold,) = await world.holds()
    assert "somebody else" in (lane.halted_reason or "")
    assert hold.kind == "lane"
    assert await world.status(payout) == "queued"


async def test_f18_nonce_taken_by_a_stranger_in_flight__halts_at_finality_only(
    world: World,
) -> None:
    payout, service, spy = await spied(world)
    spy.answer = swallowed
    await until_sent(world, service, "sweeps")
    await key_used_by_somebody_else(world, "sweeps")
    world.clock.advance(31)
    await service.tick()
    lane = await world.lane("sweeps")
    assert lane.halted_reason is None, "one block says nothing: it may be reorged"
    await world.watch(mine=4)
    world.clock.advance(31)
    await service.tick()
    lane = await world.lane("sweeps")
    assert "not ours" in (lane.halted_reason or "")
    assert await world.status(payout) == "queued"


async def test_f13_reorg_after_mined__back_to_broadcast_and_paid_once(world: World) -> None:
    payout = await funded(world)
    service = world.service()
    await until_sent(world, service, "payouts")
    await world.watch(mine=1)
    await service.tick()
    (attempt,) = await world.attempts("payouts")
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
    await world.pause("all", "drill")
    await world.rounds(service, 8)
    assert await world.attempt_statuses() == ["final"], (
        "the sweep in flight was followed to its end"
    )
    assert await world.status(payout) == "queued"
    await world.resume("all")
    await world.settle(service, world.all_are("paid", payout))


async def test_stranger_submits_our_signed_batch__adopted_not_paid_again(world: World) -> None:
    payout, service, spy = await spied(world)

    async def front_run(raw: bytes) -> SendResult:
        batches = await world.open_batches("payouts")
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
    assert "reverted" in await world.attempt_statuses()
    row = await world.payout(payout)
    assert row["tx_hash"] is not None
    receipt = await world.client.receipt(row["tx_hash"])
    assert receipt is not None
    assert receipt.sender == address_of(dev_account(4)), "the transaction that paid is told"


async def test_f22_token_that_keeps_a_fee__loss_is_booked(world: World) -> None:
    merchant = await world.merchant()
    await world.deposited(merchant, "FEE", 1_000_000)
    service = world.service()
    payout = await world.promise(merchant, "FEE", 900_000, recipient(1))
    await world.settle(service, world.all_are("paid", payout))
    assert await world.booked(AccountKind.TOKEN_LOSS, "FEE") == 9_900
