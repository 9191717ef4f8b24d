from __future__ import annotations

import pytest

from chain.anvil import DevRpc
from tests.chain.contracts.world import World, build_world
from tests.support.anvil import anvil, anvil_options, dev_rpc
from tests.support.dev_chain import DevChain

__all__ = ["anvil", "anvil_options", "dev_rpc"]


@pytest.fixture
def chain(dev_rpc: DevRpc) -> DevChain:
    return DevChain(dev_rpc)


@pytest.fixture
async def world(chain: DevChain) -> World:
    """Fresh chain, helper contracts in place."""
    return await build_world(chain)
