"""Further faults of the way out: sends in doubt, prices at the cap, races, a refused treasury."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from chain.model import TxRequest
from chain.rpc.errors import NodeError, RpcError
from chain.send import SendOutcome, SendResult
from config.catalogue import Catalogue
from config.units import Address, Hash32
from ledger.attempts import open_attempts
from ledger.listing import PageQuery, list_entries
from ledger.schema import transactions
from tests.chain.settlement.clients import SpyingClient, swallowed
from tests.chain.settlement.scenes import (
    AMOUNT,
    ONE_DATABASE,
    cancel_payout,
    funded,
    spied,
    until_sent,
)
from tests.chain.settlement.world import World, recipient

GWEI = 10**9


class NoNonce(SpyingClient):
    """Nobody tells nonces, receipts or hashes for a while."""

    blind = False

    async def nonce(self, *arguments: Any) -> int:
        if self.blind:
            raise RpcError("the node does not answer")
        found: int = await self._client.nonce(*arguments)
        return found

    async def transaction_block(self, tx_hash: Hash32) -> tuple[bool, int | None]:
        if self.blind:
            raise RpcError("the node does not answer")
        found: tuple[bool, int | None] = await self._client.transaction_block(tx_hash)
        return found


async def test_f14_send_unknown_and_the_nonce_query_fails_too__stays_unknown_then_paid(
    world: World,
) -> None:
    payout = await funded(world)
    client = NoNonce(world.client)
    service = world.service(client=client)
    client.answer = swallowed
    await until_sent(world, service, "sweeps")
    client.blind = True
    for _ in range(6):
        with suppress(RpcError):
            await service.tick()
        await world.watch(mine=1)
        world.clock.advance(31)
    rows = await world.rows(transactions)
    lane = await world.lane("sweeps")
    assert {(row.nonce, row.status) for row in rows} == {(0, "broadcast")}
    assert lane.halted_reason is None
    client.answer, client.blind = None, False
    world.clock.advance(31)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(1)) == AMOUNT


async def test_f15_base_fee_times_twenty_and_stays__bumped_to_the_cap_then_waits_and_says_so(
    world: World,
) -> None:
    payout, service, _ = await spied(world)
    await world.automine(False)
    await until_sent(world, service, "sweeps")
    cap = world.chain.fee_cap.max_fee_per_gas
    for _ in range(12):
        await world.next_base_fee(cap * 2)
        await world.mine()
        world.clock.advance(11)
        await service.tick()
        world.clock.advance(20)
        await service.tick()
    offers = [a.max_fee for a in await world.attempts("sweeps")]
    assert offers == sorted(offers)
    assert max(offers) <= cap
    assert len(offers) < 8, "at the cap the same bytes wait: no offer that no node takes"
    assert world.observer.count("waiting_for_lower_fees") > 0
    await world.next_base_fee(GWEI)
    await world.automine(True)
    await world.watch(mine=1)
    await world.settle(service, world.all_are("paid", payout))
    assert await world.held("USDC", recipient(1)) == AMOUNT


async def test_f16_unmined_and_a_lagging_node_says_nonce_too_low__same_bytes_paid_once(
    world: World,
) -> None:
    payout, service, spy = await spied(world)
    await until_sent(world, service, "payouts")
    await world.watch(mine=1)
    await service.tick()

    async def lagging(raw: bytes) -> SendResult:
        await world.client.send_raw(raw)
        return SendResult(SendOutcome.nonce_too_low, "nonce too low")

    spy.answer = lagging
    await world.rpc.call("anvil_reorg", 2, [])
    await world.watch()
    await world.settle(service, world.all_are("paid", payout))
    assert all(len(versions) == 1 for versions in spy.sent.values())
    assert await world.held("USDC", recipient(1)) == AMOUNT


async def test_f17_cancel_loses_its_race__payout_is_accounted_for_by_what_was_mined(
    world: World,
) -> None:
    payout, service, spy = await spied(world)
    await until_sent(world, service, "sweeps")
    await world.watch(mine=4)
    await service.tick()
    await world.automine(False)
    await until_sent(world, service, "payouts")
    spy.answer = swallowed  # the cancel reaches nobody in time
    await cancel_payout(world, service)
    await world.mine()
    spy.answer = None
    await world.automine(True)
    await world.settle(service, world.all_are("paid", payout))
    rows = await world.rows(transactions)
    found = [(r.purpose, r.status) for r in rows if r.lane == "payouts"]
    assert found == [("payout", "final"), ("cancel", "replaced")]
    assert await world.held("USDC", recipient(1)) == AMOUNT


@ONE_DATABASE
async def test_sweep_that_no_node_estimates__on_hold_with_their_words__payouts_go_on(
    world: World,
) -> None:
    first = await funded(world)
    await world.settle(world.service(), world.all_are("paid", first))
    world.clock.advance(11)
    client = SpyingClient(world.client)
    unknown = True

    async def estimated(asked: TxRequest) -> int:
        if unknown and asked.to == world.contracts.collector:
            raise NodeError("gas cannot be told", where="anvil", message="gas cannot be told")
        return await world.client.estimate_gas(asked)

    client.estimate_gas = estimated
    service = world.service(client=client)
    waits = await funded(world)

    async def said() -> bool:
        return any("gas cannot be told" in h.reason for h in await world.holds())

    await world.settle(service, said)
    assert service.status().last_error is None
    unknown = False
    await world.settle(service, world.all_are("paid", waits))
    assert not await said()


async def test_f21_treasury_itself_blacklisted__its_token_waits_others_go__paid_once_it_is_free(
    world: World,
) -> None:
    """A hold for each payout would be as many releases."""
    refused, other = await funded(world), await funded(world, "DAI")
    service = world.service()
    await until_sent(world, service, "sweeps")
    await world.watch(mine=5)
    treasury: Address = world.contracts.treasury
    await world.blacklist(treasury)
    await world.settle(service, world.all_are("paid", other))
    assert (await world.payout(refused))["status"] == "queued"
    (held,) = await world.holds()
    assert held.object_id == "anvil/USDC/treasury/listed"
    assert "blacklisted" in held.reason
    await world.unblacklist(treasury)
    await world.settle(service, world.all_are("paid", refused))
    assert await world.held("USDC", recipient(1)) == AMOUNT
    assert await world.holds() == []


@ONE_DATABASE
async def test_token_taken_out_of_the_configuration__what_flies_is_booked__queued_waits__others_go(
    world: World,
) -> None:
    flying = await funded(world)
    await until_sent(world, world.service(), "sweeps")
    world.clock.advance(11)
    waiting, other = await funded(world), await funded(world, "DAI")
    whole = world.ledger.catalogue
    rest = [token for token in world.chain.tokens if token.symbol != "USDC"]
    catalogue = Catalogue([world.chain.model_copy(update={"tokens": rest})])
    world.ledger.catalogue = catalogue
    service = world.service()
    await world.settle(service, world.all_are("paid", other))
    async with world.ledger.reading() as tx:
        assert await open_attempts(tx, "anvil") == [], "its sweep is booked"
        page = await list_entries(tx, "mer_1", PageQuery(limit=10))
    assert page[0], "in base units"
    assert await world.status(waiting) == "queued"
    world.ledger.catalogue = whole
    await until_sent(world, service, "payouts")
    world.ledger.catalogue = catalogue
    await world.settle(service, world.all_are("paid", flying))
