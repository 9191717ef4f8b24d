"""Rare steps of a lane: a gap is filled, a cancel, an epoch that is over, a second opinion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced
from typing import Any

from chain.helper_contracts import encode_pay_batch
from chain.model import Receipt, TxRequest
from config.units import Hash32
from ledger.holds import hold
from ledger.lanes import take_nonce
from tests.chain.settlement.clients import Blind, SpyingClient, swallowed
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    PLENTY,
    cancel_payout,
    epoch_raised,
    funded,
    key_used_by_somebody_else,
    owner_sends,
    spied,
    stuck_batch,
    until_sent,
)
from tests.chain.settlement.world import World, recipient


class Rollup(SpyingClient):
    """Counts data on another chain as gas, as Arbitrum does."""

    async def estimate_gas(self, tx: TxRequest) -> int:
        return 400_000 + await self._client.estimate_gas(tx)


async def test_f18_nonce_taken_and_nothing_stored_on_it__filled_with_a_self_transfer(
    world: World,
) -> None:
    service = world.service(client=Rollup(world.client))
    await service.tick()
    lane = await world.lane("sweeps")
    async with world.ledger.transaction() as tx:
        await take_nonce(tx, lane)
    payout = await funded(world)
    await world.settle(service, world.all_are("paid", payout))
    first, *others = await world.transactions()
    assert (first.purpose, first.nonce, first.batch_id, first.status) == ("gap", 0, None, "final")
    assert all(other.purpose != "gap" for other in others)
    assert first.gas_limit > 421_000, "more than a self-transfer takes where gas is gas alone"
    receipt = await world.client.receipt(Hash32(first.tx_hash))
    assert receipt is not None
    assert receipt.sender == receipt.to == world.keys.sponsor("sweeps").address


async def test_f17_cancel_is_mined__batch_is_sent_again_on_another_nonce__paid_once(
    world: World,
) -> None:
    payout, service, spy = await spied(world)
    await until_sent(world, service, "sweeps")
    while await world.status(payout) == "queued":
        spy.answer = swallowed
        await world.watch(mine=1)
        await service.tick()
    (sent,) = [r for r in await world.transactions() if r.purpose == "payout"]
    spy.answer = None
    await cancel_payout(world, service)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
    found = await world.transactions("payouts")
    assert [(r.nonce, r.purpose, r.status) for r in found] == [
        (sent.nonce, "payout", "replaced"),
        (sent.nonce, "cancel", "final"),
        (sent.nonce + 1, "payout", "final"),
    ]
    assert len(await world.payout_batches()) == 1


async def test_f18_epoch_raised_before_it_ran__given_up_at_finality__paid_under_a_new_id(
    world: World,
) -> None:
    payout, service, stuck = await stuck_batch(world)
    await epoch_raised(world)
    await world.fund_sponsor("payouts", PLENTY)
    async with world.ledger.transaction() as tx:
        await hold(tx, "batch", "batch", f"batch_{stuck.id}", "was refused once")
    await service.tick()
    assert [b.id for b in await world.open_batches("payouts")] == [stuck.id], (
        "the raise is not final: the signed bytes could still run"
    )
    await world.settle(service, world.all_are("paid", payout))
    assert await world.payout_batches() == [(0, 0, "void"), (1, 0, "final")]
    assert await world.holds() == []
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
    assert encode_pay_batch  # the bytes of epoch 0 are public; the contract refuses them


async def test_f18_submitted_by_somebody_and_epoch_raised_after__booked_as_paid_once(
    world: World,
) -> None:
    """The treasury tells the epoch before it tells that the id is used."""
    payout, service, stuck = await stuck_batch(world)
    await owner_sends(world, stuck.calldata)
    await epoch_raised(world)
    await world.fund_sponsor("payouts", PLENTY)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.payout_batches() == [(0, 0, "final")]
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT


async def test_f16_nonce_used_and_own_provider_shows_nothing__the_second_is_asked_first(
    world: World,
) -> None:
    payout = await funded(world)
    client = Blind(world.client, second=world.client)
    service = world.service(client=client)
    await until_sent(world, service, "sweeps")
    client.blind = True
    await world.watch(mine=5)
    world.clock.advance(31)
    await service.tick()
    lane = await world.lane("sweeps")
    assert lane.halted_reason is None, "another provider has the receipt"
    client.blind = False
    await world.settle(service, world.all_are("paid", payout))


async def test_f16_nonce_used_and_nobody_shows_a_receipt__halts(world: World) -> None:
    await funded(world)
    client = Blind(world.client, second=None)
    service = world.service(client=client)
    await until_sent(world, service, "sweeps")
    client.blind = True
    await world.watch(mine=5)
    world.clock.advance(31)
    await service.tick()
    lane = await world.lane("sweeps")
    assert "not ours" in (lane.halted_reason or "")


class Bare(SpyingClient):
    """One of two providers, which shows receipts without their logs."""

    provider = "bare"

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.bare = False

    def pinned(self) -> Bare:
        return self

    def second(self) -> Any:
        return self._client.pinned()

    async def receipts(self, tx_hashes: Sequence[Hash32]) -> list[Receipt | None]:
        found = await self._client.receipts(tx_hashes)
        return [r and replaced(r, logs=()) for r in found] if self.bare else found

    async def receipt(self, tx_hash: Hash32) -> Receipt | None:
        return (await self.receipts([tx_hash]))[0]


async def test_f14_receipt_with_logs_left_out__booked_by_what_two_providers_show(
    world: World,
) -> None:
    payout = await funded(world)
    client = Bare(world.client)
    service = world.service(client=client)
    await until_sent(world, service, "sweeps")
    client.bare = True
    await world.watch(mine=5)
    await service.tick()
    assert await world.holds() == [], "the other one may be behind"
    await world.watch(mine=31)
    await service.tick()
    (sweep,) = await world.open_batches("sweeps")
    (hold,) = await world.holds()
    assert (sweep.status, hold.object_type) == ("executed", "receipt")
    client.bare = False
    await world.settle(service, world.all_are("paid", payout))
    assert await world.holds() == []


async def test_f18_foreign_use_of_an_idle_key__operator_releases__goes_on_above_it(
    world: World,
) -> None:
    service = world.service()
    await service.tick()
    payout = await funded(world)
    await key_used_by_somebody_else(world, "sweeps")
    await world.watch(mine=2)
    await service.tick()
    await service.tick()
    (held,) = await world.holds("lane")
    await world.release(held)
    await world.settle(service, world.all_are("paid", payout))


@ONE_DATABASE
async def test_f18_foreign_use_of_a_nonce_in_flight__operator_releases__sent_again_and_paid_once(
    world: World,
) -> None:
    payout, service, spy = await spied(world)
    spy.answer = swallowed
    await until_sent(world, service, "sweeps")
    await key_used_by_somebody_else(world, "sweeps")
    await world.watch(mine=5)
    world.clock.advance(31)
    await service.tick()
    (held,) = await world.holds("lane")
    await world.release(held)
    spy.answer = None
    await world.settle(service, world.all_are("paid", payout))
    found = [(r.nonce, r.status) for r in await world.transactions("sweeps")]
    assert found == [(0, "dead"), (1, "final")]
    lane = await world.lane("sweeps")
    assert not lane.accept_nonce, "the next stranger is looked at again"


class Hopeful(SpyingClient):
    """Its node says of everything that it would run."""

    async def estimate_gas(self, tx: TxRequest) -> int:
        return 400_000


@ONE_DATABASE
async def test_batch_reverts_three_times__lane_halts__released__goes_on_with_what_the_chain_says(
    world: World,
) -> None:
    payout, _, stuck = await stuck_batch(world)
    await epoch_raised(world)
    await world.fund_sponsor("payouts", PLENTY)
    service = world.service(client=Hopeful(world.client))
    world.clock.advance(11)
    await world.rounds(service, 16)
    (held,) = await world.holds("lane")
    assert held.reason == f"batch_{stuck.id} reverted 3 times"
    await world.release(held)
    world.clock.advance(11)
    await world.settle(world.service(), world.all_are("paid", payout))
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
