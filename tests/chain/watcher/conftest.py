"""A watcher on Anvil; each test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chain.anvil import Anvil, DevRpc
from tests.chain.rpc.conftest import MakeClient, make_client, session
from tests.chain.watcher.scenes import ServedBy
from tests.chain.watcher.world import World, make_world
from tests.support.fault_proxy import FaultProxy

__all__ = ["make_client", "session"]


@pytest.fixture
async def world(
    anvil: Anvil, dev_rpc: DevRpc, migrated_url: str, make_client: MakeClient
) -> AsyncIterator[World]:
    made = await make_world(dev_rpc, anvil.rpc_url, migrated_url, make_client)
    yield made
    await made.ledger.dispose()


@pytest.fixture
async def liar(anvil: Anvil) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(anvil.rpc_url, seed=7) as proxy:
        yield proxy


@pytest.fixture
async def honest(anvil: Anvil) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(anvil.rpc_url, seed=8) as proxy:
        yield proxy


@pytest.fixture
def served_by(world: World, make_client: MakeClient) -> ServedBy:
    """Starts the watcher anew behind these providers, by the world's clock."""

    def restart(*urls: str, **more: object) -> None:
        world.restart(make_client(urls, clock=world.clock), **more)

    return restart
