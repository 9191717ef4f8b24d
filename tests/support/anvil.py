"""Anvil for tests: a process of its own per test.

Starting one takes about 40 ms, less than a revert needs to be made safe
(mempool, automine, clock offset and impersonations all survive ``evm_revert``),
so no test can see what another left behind. Import the fixtures into a
``conftest.py``: ``from tests.support.anvil import anvil, dev_rpc``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from chain.anvil import Anvil, AnvilOptions, DevRpc


@pytest.fixture
def anvil_options() -> AnvilOptions:
    """Override in a module or conftest to start Anvil differently."""
    return AnvilOptions()


@pytest.fixture
def anvil(anvil_options: AnvilOptions) -> Iterator[Anvil]:
    """A fresh chain that mines one block per transaction unless told otherwise."""
    process = Anvil(anvil_options).start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
async def dev_rpc(anvil: Anvil) -> AsyncIterator[DevRpc]:
    """Bare JSON-RPC to that chain."""
    async with DevRpc(anvil.rpc_url) as rpc:
        yield rpc
