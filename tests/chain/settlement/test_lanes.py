"""Rare steps of a lane: a gap is filled, a cancel, an epoch that is over, a second opinion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced
from typing import Any

import pytest

from chain.abi import encode_call
from chain.helper_contracts import encode_pay_batch
from chain.model import Receipt, TxRequest
from chain.send import SendOutcome, SendResult
from config.units import Hash32, to_hex
from ledger.attempts import open_attempts
from ledger.batches import Batch, open_batches
from ledger.holds import hold, open_holds, release_hold
from ledger.lanes import get_lane, take_nonce
from ledger.leases import acquire
from ledger.schema import batches, transactions
from settlement.fees import Fees
from settlement.lanes.following import Following, replace
from settlement.service import lease_name
from tests.chain.settlement.test_faults import AMOUNT, funded, until_sent
from tests.chain.settlement.world import SpyingClient, World, recipient

ONE_DATABASE = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)


async def swallowed(raw: bytes) -> SendResult:
    return SendResult(SendOutcome.unknown, "")


class Rollup(SpyingClient):
    """Counts data on another chain as gas, as Arbitrum does."""

    async def estimate_gas(self, tx: TxRequest) -> int:
        return 400_000 + await self._client.estimate_gas(tx)


async def rows(world: World, table: Any) -> list[Any]:
    async with world.ledger.reading() as tx:
        return list(await tx.conn.execute(table.select().order_by(table.c.id)))


async def test_f18_nonce_taken_and_nothing_stored_on_it__filled_with_a_self_transfer(
    world: World,
) -> None:
    service = world.service(client=Rollup(world.client))
    await service.tick()
    async with world.ledger.transaction() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
        assert lane is not None
        await take_nonce(tx, lane)
    payout = await funded(world)
    await world.settle(service, world.all_are("paid", payout))
    first, *others = await rows(world, transactions)
    assert (first.purpose, first.nonce, first.batch_id, first.status) == ("gap", 0, None, "final")
    assert all(other.purpose != "gap" for other in others)
    assert first.gas_limit > 421_000, "more than a self-transfer takes where gas is gas alone"
    receipt = await world.client.receipt(Hash32(first.tx_hash))
    assert receipt is not None
    assert receipt.sender == receipt.to == world.keys.sponsor("sweeps").address


async def test_f17_cancel_is_mined__batch_is_sent_again_on_another_nonce__paid_once(
    world: World,
) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    await until_sent(world, service, "sweeps")
    while (await world.payout(payout))["status"] == "queued":
        spy.answer = swallowed
        await world.watch(mine=1)
        await service.tick()
    (sent,) = [r for r in await rows(world, transactions) if r.purpose == "payout"]
    spy.answer = None
    async with world.ledger.transaction() as tx:
        lease = await acquire(tx, lease_name("anvil"), "process-1")
        lane = await get_lane(tx, "anvil", "payouts")
        (attempt,) = await open_attempts(tx, "anvil", "payouts")
    assert lease is not None
    assert lane is not None
    finality = await world.finality()
    signer = world.keys.sponsor("payouts")
    following = Following(service.context, lease, lane, signer, finality, True)
    higher = Fees(attempt.max_fee * 2, attempt.max_tip * 2)
    await replace(following, attempt, higher, cancel=True)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
    found = [r for r in await rows(world, transactions) if r.lane == "payouts"]
    assert [(r.nonce, r.purpose, r.status) for r in found] == [
        (sent.nonce, "payout", "replaced"),
        (sent.nonce, "cancel", "final"),
        (sent.nonce + 1, "payout", "final"),
    ]
    assert len([b for b in await rows(world, batches) if b.purpose == "payout"]) == 1


async def stuck_batch(world: World) -> tuple[str, Any, Batch]:
    """A payout in a batch that was signed for the treasury, and has no gas money to be sent."""
    payout = await funded(world)
    service = world.service()
    await world.fund(world.keys.sponsor("payouts").address, 1000)
    for _ in range(12):
        await service.tick()
        await world.watch(mine=1)
    async with world.ledger.reading() as tx:
        (stuck,) = await open_batches(tx, "anvil", "payouts")
    return payout, service, stuck


async def owner_sends(world: World, data: bytes) -> None:
    """To the treasury, from its owner."""
    owner = world.keys.treasury_signer().address
    await world.rpc.call("anvil_impersonateAccount", to_hex(owner))
    await world.fund(owner, 10**18)
    call = {"from": to_hex(owner), "to": to_hex(world.contracts.treasury), "data": to_hex(data)}
    await world.rpc.call("eth_sendTransaction", call)
    await world.watch(mine=1)


async def test_f18_epoch_raised_before_it_ran__given_up_at_finality__paid_under_a_new_id(
    world: World,
) -> None:
    payout, service, stuck = await stuck_batch(world)
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))
    await world.fund(world.keys.sponsor("payouts").address, 10**20)
    async with world.ledger.transaction() as tx:
        await hold(tx, "batch", "batch", f"batch_{stuck.id}", "was refused once")
    await service.tick()
    async with world.ledger.reading() as tx:
        assert [b.id for b in await open_batches(tx, "anvil", "payouts")] == [stuck.id], (
            "the raise is not final: the signed bytes could still run"
        )
    await world.settle(service, world.all_are("paid", payout))
    found = [b for b in await rows(world, batches) if b.purpose == "payout"]
    assert [(b.epoch, b.onchain_id, b.status) for b in found] == [(0, 0, "void"), (1, 0, "final")]
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
    assert encode_pay_batch  # the bytes of epoch 0 are public; the contract refuses them


async def test_f18_submitted_by_somebody_and_epoch_raised_after__booked_as_paid_once(
    world: World,
) -> None:
    """The treasury tells the epoch before it tells that the id is used."""
    payout, service, stuck = await stuck_batch(world)
    await owner_sends(world, stuck.calldata)
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))
    await world.fund(world.keys.sponsor("payouts").address, 10**20)
    await world.settle(service, world.all_are("paid", payout))
    found = [b for b in await rows(world, batches) if b.purpose == "payout"]
    assert [(b.epoch, b.onchain_id, b.status) for b in found] == [(0, 0, "final")]
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT


class Blind(SpyingClient):
    """Its own provider shows no receipts of the last resort; another one may."""

    def __init__(self, client: Any, *, second: Any) -> None:
        super().__init__(client)
        self.blind = False
        self._second = second

    async def receipts(self, hashes: list[Hash32]) -> list[Receipt | None]:
        if self.blind:
            return [None] * len(hashes)
        found: list[Receipt | None] = await self._client.receipts(hashes)
        return found

    def second(self) -> Any:
        return self._second


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
    async with world.ledger.reading() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
    assert lane is not None
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
    async with world.ledger.reading() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
    assert lane is not None
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
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == [], "the other one may be behind"
    await world.watch(mine=31)
    await service.tick()
    async with world.ledger.reading() as tx:
        (sweep,) = await open_batches(tx, "anvil", "sweeps")
        (hold,) = await open_holds(tx)
    assert (sweep.status, hold.object_type) == ("executed", "receipt")
    client.bare = False
    await world.settle(service, world.all_are("paid", payout))
    async with world.ledger.reading() as tx:
        assert await open_holds(tx) == []


async def test_f18_foreign_use_of_an_idle_key__operator_releases__goes_on_above_it(
    world: World,
) -> None:
    service = world.service()
    await service.tick()
    payout = await funded(world)
    sponsor = to_hex(world.keys.sponsor("sweeps").address)
    await world.rpc.call("anvil_impersonateAccount", sponsor)
    await world.rpc.call("eth_sendTransaction", {"from": sponsor, "to": sponsor, "value": "0x0"})
    await world.watch(mine=2)
    await service.tick()
    await service.tick()
    async with world.ledger.transaction() as tx:
        (held,) = [h for h in await open_holds(tx) if h.kind == "lane"]
        await release_hold(tx, held.id)
    await world.settle(service, world.all_are("paid", payout))


@ONE_DATABASE
async def test_f18_foreign_use_of_a_nonce_in_flight__operator_releases__sent_again_and_paid_once(
    world: World,
) -> None:
    payout = await funded(world)
    spy = SpyingClient(world.client)
    service = world.service(client=spy)
    spy.answer = swallowed
    await until_sent(world, service, "sweeps")
    sponsor = to_hex(world.keys.sponsor("sweeps").address)
    await world.rpc.call("anvil_impersonateAccount", sponsor)
    await world.rpc.call("eth_sendTransaction", {"from": sponsor, "to": sponsor, "value": "0x0"})
    await world.watch(mine=5)
    world.clock.advance(31)
    await service.tick()
    async with world.ledger.transaction() as tx:
        (held,) = [h for h in await open_holds(tx) if h.kind == "lane"]
        await release_hold(tx, held.id)
    spy.answer = None
    await world.settle(service, world.all_are("paid", payout))
    found = [(r.nonce, r.status) for r in await rows(world, transactions) if r.lane == "sweeps"]
    assert found == [(0, "dead"), (1, "final")]
    async with world.ledger.reading() as tx:
        lane = await get_lane(tx, "anvil", "sweeps")
        assert lane is not None
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
    await owner_sends(world, encode_call("raiseEpoch(uint64)", 1))
    await world.fund(world.keys.sponsor("payouts").address, 10**20)
    service = world.service(client=Hopeful(world.client))
    world.clock.advance(11)
    for _ in range(16):
        await service.tick()
        await world.watch(mine=1)
    async with world.ledger.transaction() as tx:
        (held,) = [h for h in await open_holds(tx) if h.kind == "lane"]
        assert held.reason == f"batch_{stuck.id} reverted 3 times"
        await release_hold(tx, held.id)
    world.clock.advance(11)
    await world.settle(world.service(), world.all_are("paid", payout))
    assert await world.held("USDC", recipient(world.merchants)) == AMOUNT
