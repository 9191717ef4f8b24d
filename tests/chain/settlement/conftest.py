from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from chain.anvil import Anvil, DevRpc
from chain.client import ChainClient
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport
from config.clock import SystemClock, SystemEntropy
from tests.chain.settlement.restoring import copy, journal
from tests.chain.settlement.world import CHAIN_ID, World, build_world

__all__ = ["copy", "journal"]


@pytest.fixture
async def client(anvil: Anvil) -> AsyncIterator[ChainClient]:
    async with aiohttp.ClientSession() as session:
        pool = RpcPool(
            "anvil",
            CHAIN_ID,
            [anvil.rpc_url],
            transport=AiohttpTransport(session),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        yield ChainClient(pool)


@pytest.fixture
def configured() -> dict[str, Any]:
    """What a test's chain has in its configuration besides the usual: nothing."""
    return {}


@pytest.fixture
async def world(
    anvil: Anvil,
    dev_rpc: DevRpc,
    client: ChainClient,
    migrated_url: str,
    configured: dict[str, Any],
) -> AsyncIterator[World]:
    made = await build_world(dev_rpc, anvil.rpc_url, client, migrated_url, **configured)
    yield made
    await made.ledger.dispose()
