"""Providers that take few blocks at once: whatever settlement looks for, it asks in steps."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from chain.client import ChainClient
from chain.rpc.errors import TooLarge
from chain.send import SendOutcome, SendResult
from config.units import checksum
from settlement.context import Context
from settlement.reconcile import reconcile
from settlement.restore.scanning import unknown_inflows, unknown_outflows
from tests.chain.settlement.test_faults import AMOUNT, funded
from tests.chain.settlement.world import SpyingClient, World

MOST_BLOCKS = 24
pytestmark = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words and the limit of a provider's free plan."""
    for name in ("logs", "transfer_logs"):
        real = getattr(ChainClient, name)

        async def limited(
            client: ChainClient, first: int, last: int, *rest: Any, real: Any = real, **more: Any
        ) -> Any:
            if last - first >= MOST_BLOCKS:
                raise TooLarge("block range is too wide", max_blocks=MOST_BLOCKS)
            return await real(client, first, last, *rest, **more)

        monkeypatch.setattr(ChainClient, name, limited)


async def head_of(world: World) -> int:
    return int(await world.rpc.call("eth_blockNumber"), 16)


@pytest.mark.usefixtures("narrow")
async def test_f20_comparison_after_a_restore__long_range__every_transfer_found(
    world: World,
) -> None:
    ctx: Context = world.service().context
    await world.mine(30)
    await world.pay("USDC", world.contracts.treasury, 7)
    paid_in = await head_of(world)
    await world.mine(60)
    head = await head_of(world)
    assert [r.block_number for r in await unknown_inflows(ctx, 1, head)] == [paid_in]
    assert await unknown_outflows(ctx, 1, head) == []


@pytest.mark.usefixtures("narrow")
async def test_reconcile__batch_that_waits_since_long_ago__looked_for_in_all_its_blocks(
    world: World,
) -> None:
    spy = SpyingClient(world.client)

    async def payouts_swallowed(raw: bytes) -> SendResult:
        if Account.recover_transaction(raw) == checksum(world.keys.sponsor("payouts").address):
            return SendResult(SendOutcome.unknown, "")
        return await world.client.send_raw(raw)

    spy.answer = payouts_swallowed
    await funded(world)
    service = world.service(client=spy)
    for _ in range(16):
        await service.tick()
        await world.watch(mine=1)
    assert ("payouts", 1) in world.observer.sealed
    await world.watch(mine=60)
    found = await reconcile(world.client, world.ledger, world.contracts)
    assert found is not None
    assert found.causes == ()
    assert await world.held("USDC", world.contracts.treasury) == AMOUNT
