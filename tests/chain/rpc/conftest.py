"""An Anvil of its own, a client over it, and one over several URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
import pytest

from chain.anvil import Anvil
from chain.client import ChainClient
from chain.rpc.methods import Timeouts
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport
from config.clock import Clock, SystemClock, SystemEntropy
from tests.support.anvil import anvil, anvil_options, dev_rpc

__all__ = ["anvil", "anvil_options", "dev_rpc"]

MakeClient = Callable[..., ChainClient]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def make_client(session: aiohttp.ClientSession) -> MakeClient:
    def make(
        urls: Sequence[str],
        *,
        name: str = "anvil",
        chain_id: int = 31337,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
        **options: object,
    ) -> ChainClient:
        pool = RpcPool(
            name,
            chain_id,
            urls,
            transport=AiohttpTransport(session),
            clock=clock or SystemClock(),
            entropy=SystemEntropy(),
            timeouts=timeouts,
            **options,  # type: ignore[arg-type]
        )
        return ChainClient(pool)

    return make


@pytest.fixture
def client(anvil: Anvil, make_client: MakeClient) -> ChainClient:
    return make_client([anvil.rpc_url])
