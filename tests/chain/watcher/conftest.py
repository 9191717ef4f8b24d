"""A watcher on Anvil; each test runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chain.anvil import Anvil, DevRpc
from tests.chain.rpc.conftest import MakeClient, make_client, session
from tests.chain.watcher.world import World, make_world

__all__ = ["make_client", "session"]


@pytest.fixture
async def world(
    anvil: Anvil, dev_rpc: DevRpc, migrated_url: str, make_client: MakeClient
) -> AsyncIterator[World]:
    made = await make_world(dev_rpc, anvil.rpc_url, migrated_url, make_client)
    yield made
    await made.ledger.dispose()
