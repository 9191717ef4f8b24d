"""A chain that goes on counts as one that goes on, whichever provider is asked first."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bursar.metrics.families import Families
from bursar.monitor import ChainMonitor
from bursar.readiness import is_old
from chain.client import ChainClient
from chain.rpc.pool import RpcPool
from tests.support.clock import ManualClock, SeededEntropy
from tests.unit.bursar.test_readiness import chain

GENESIS = 1_767_323_045
"""The manual clock's first second."""


class Nodes:
    """Two providers: the first stands still at block 0, the second has one each two seconds."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def post(self, url: str, body: bytes, timeout: float) -> Any:  # noqa: ASYNC109
        asked = json.loads(body)
        if asked["method"] == "eth_chainId":
            result: Any = hex(8453)
        else:
            number = 0 if "first" in url else int(self._clock.monotonic() // 2)
            result = {
                "number": hex(number), "hash": f"0x{number:064x}", "parentHash": f"0x{0:064x}",
                "timestamp": hex(GENESIS + 2 * number), "logsBloom": f"0x{0:0512x}",
                "gasLimit": "0x1",
            }  # fmt: skip
        return 200, {}, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()


def test_f03_monitor__the_first_provider_stands_still__the_newest_block_is_the_other_s() -> None:
    clock = ManualClock()
    urls = ["https://first.example/", "https://second.example/"]
    pool = RpcPool("base", 8453, urls, transport=Nodes(clock), clock=clock, entropy=SeededEntropy())
    settings = chain().model_copy(update={"rpc_urls": urls})

    async def look() -> None:
        monitor = ChainMonitor(settings, ChainClient(pool), Families(), clock)
        for _ in range(40):
            clock.advance(15)  # longer than a pool keeps in mind who is out of step
            await monitor.look()
            assert monitor.head_time is not None
            assert not is_old(settings, monitor.head_time, clock.now())

    asyncio.run(look())
