"""Several batches at once: in order, up to a limit, filled before they go, sent again if lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from chain.client import ChainClient
from chain.model import TxRequest
from chain.rpc.errors import Timeout
from config.models import SettlementSettings
from config.units import Address, to_hex
from ledger.schema import batches, merchants, payouts, transactions
from settlement.native import look_at_native
from settlement.reconcile import reconcile
from settlement.service import ChainSettlement
from tests.chain.settlement.clients import SpyingClient
from tests.chain.settlement.scenes import AMOUNT, ONE_DATABASE, funded, spied, until_sent
from tests.chain.settlement.world import World, recipient


async def in_treasury(world: World, count: int) -> list[str]:
    """Payouts whose money is swept for good; they wait only for a batch."""
    made = [await funded(world, to=recipient(1000 + n)) for n in range(count)]
    service = world.service(settings=SettlementSettings(max_batch=400))
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(payouts.update().values(status="on_hold", reason="test"))

    async def swept() -> bool:
        async with world.ledger.reading() as tx:
            query = sa.select(batches.c.status).where(batches.c.purpose == "sweep")
            found = list((await tx.conn.execute(query)).scalars())
        return bool(found) and set(found) == {"final"}

    await world.settle(service, swept)
    async with world.ledger.transaction() as tx:
        await tx.conn.execute(payouts.update().values(status="queued", reason=None))
    return made


def small(world: World, *, in_flight: int = 16, **parts: Any) -> ChainSettlement:
    """One payout a batch."""
    return world.service(
        **parts,
        settings=SettlementSettings(max_batch=1),
        policy=replace(world.policy, max_in_flight=in_flight),
    )


async def sent(world: World) -> list[tuple[int, str]]:
    async with world.ledger.reading() as tx:
        query = (
            sa.select(transactions.c.nonce, transactions.c.status)
            .where(transactions.c.lane == "payouts")
            .order_by(transactions.c.id)
        )
        return [(row.nonce, row.status) for row in await tx.conn.execute(query)]


async def test_dispatch__several_batches__in_flight_in_order_up_to_the_limit(
    world: World,
) -> None:
    made = await in_treasury(world, 5)
    world.clock.advance(11)
    spy = SpyingClient(world.client)
    service = small(world, in_flight=3, client=spy)
    await world.automine(False)
    for _ in range(3):
        await service.tick()
    assert await sent(world) == [(n, "broadcast") for n in range(3)]
    await world.watch(mine=1)
    await service.tick()
    await service.tick()
    found = await sent(world)
    assert found == [(n, "mined") for n in range(3)] + [(n, "broadcast") for n in (3, 4)], (
        "what a block holds does not count against the limit"
    )
    await world.settle(service, world.all_are("paid", *made))
    async with world.ledger.reading() as tx:
        rows = list(await tx.conn.execute(batches.select().where(batches.c.lane == "payouts")))
    assert [row.onchain_id for row in rows] == list(range(5))
    assert spy.most_receipts == 4, "a receipt is large: few at a time, however many are in flight"
    for n in range(5):
        assert await world.held("USDC", recipient(1000 + n)) == AMOUNT


async def test_reconcile__many_in_flight__their_receipts_are_read_a_few_at_a_time(
    world: World,
) -> None:
    """Ten thousand payouts are twenty batches, and the receipt of each a megabyte."""
    await in_treasury(world, 6)
    world.clock.advance(11)
    service = small(world)
    for _ in range(6):
        await service.tick()
    await world.mine()
    assert len(await world.attempts()) == 6
    lanes = [world.keys.sponsor(lane).address for lane in ("payouts", "sweeps")]
    for look in (
        lambda client: reconcile(client, world.ledger, world.contracts),
        lambda client: look_at_native(client, world.ledger, "ETH", lanes),
    ):
        spy: Any = SpyingClient(world.client)
        assert await look(spy) is not None
        assert spy.most_receipts == 4


async def test_seal__not_full_while_more_is_planned__waits_for_company_but_not_for_ever(
    world: World,
) -> None:
    (payout,) = await in_treasury(world, 1)
    world.clock.advance(11)
    async with world.ledger.transaction() as tx:
        # Somebody is due whom no run has planned yet.
        await tx.conn.execute(merchants.update().values(next_settlement_at=tx.now))
        await tx.conn.execute(payouts.update().values(created_at=tx.now))
    service = world.service()
    await service.tick()
    await service.tick()
    assert await world.status(payout) == "queued"
    world.clock.advance(10)
    await service.tick()
    await service.tick()
    assert await world.status(payout) == "submitted"


async def test_f18_dropped_from_every_mempool__same_bytes_sent_again_soon(world: World) -> None:
    payout, service, spy = await spied(world)
    await world.automine(False)
    await until_sent(world, service, "sweeps")
    (first,) = await world.attempts("sweeps")
    await world.rpc.call("anvil_dropTransaction", to_hex(first.tx_hash))
    world.clock.advance(6)
    await service.tick()
    assert spy.sends == 1, "it may still be on its way"
    world.clock.advance(2)
    await service.tick()
    assert spy.sends == 2
    assert await world.client.transaction_block(first.tx_hash) == (True, None)
    assert world.observer.replacements == 0
    await world.automine(True)
    await world.mine()
    await world.settle(service, world.all_are("paid", payout))
    assert all(len(versions) == 1 for versions in spy.sent.values())


@ONE_DATABASE
async def test_sweep__more_addresses_than_one_takes__chain_asked_about_no_more_than_those(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls an address: of ten thousand that wait, all but 812 would be asked for nothing."""
    monkeypatch.setattr("settlement.sweeps.MOST_AT_ONCE", 3)
    asked: list[int] = []
    real = ChainClient.codes

    async def codes(client: ChainClient, addresses: Sequence[Address]) -> list[bytes]:
        asked.append(len(addresses))
        return await real(client, addresses)

    service = world.service()
    await service.tick()
    monkeypatch.setattr(ChainClient, "codes", codes)
    merchant = await world.merchant()
    deposits = [await world.paid_invoice(merchant, "USDC", AMOUNT) for _ in range(7)]
    await world.watch(mine=4)

    async def all_swept() -> bool:
        return await world.held("USDC", world.contracts.treasury) == len(deposits) * AMOUNT

    await world.settle(service, all_swept)
    assert [n for n in asked if n] == [3, 3, 1]
    assert [n for lane, n in world.observer.sealed if lane == "sweeps"] == [3, 3, 1]


@ONE_DATABASE
async def test_dispatch__one_estimate_fails__those_before_it_go_out_and_it_is_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await in_treasury(world, 3)
    world.clock.advance(11)
    await world.automine(False)
    service = small(world)
    real = ChainClient.estimate_gas
    asked: list[object] = []

    async def estimate(client: ChainClient, tx: TxRequest) -> int:
        if tx.data:
            asked.append(tx.data)
            if len(asked) == 2:
                raise Timeout("no answer")
        return await real(client, tx)

    monkeypatch.setattr(ChainClient, "estimate_gas", estimate)
    with pytest.raises(Timeout):
        for _ in range(5):  # the first compares books and chain
            await service.tick()
    assert [status for _, status in await sent(world)] == ["broadcast"]
    await service.tick()
    assert asked[1] in asked[3:]
    assert [status for _, status in await sent(world)] == ["broadcast"] * 3
    await world.settle(service, world.all_are("paid", *made))
