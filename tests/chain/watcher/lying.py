"""Transports that lie about single things, so well that nothing but a second look tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from chain.client import ChainClient
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport, Transport
from config.clock import SystemEntropy
from tests.chain.watcher.world import World


class Omitting:
    """Leaves out logs to some recipients, and shows every other one.

    :param inner: asks the node.
    :param urls: the providers that do it; none: all of them.
    """

    def __init__(self, inner: Transport, *urls: str) -> None:
        self._inner = inner
        self.urls = set(urls)
        self.omitted: set[bytes] = set()
        self.denied: set[str] = set()
        """Hashes of transactions whose receipts it does not have."""
        self.balance: int | None = None
        """What it says every balance is."""
        self.asked: list[tuple[str, str]] = []
        """(url, method) of every call."""

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> tuple[int, Mapping[str, str], bytes]:
        asked = json.loads(body)
        items = asked if isinstance(asked, list) else [asked]
        self.asked += [(url, item["method"]) for item in items]
        status, headers, answer = await self._inner.post(url, body, timeout)
        if (url in self.urls or not self.urls) and status == 200:
            methods = {item["id"]: item for item in items}
            told = json.loads(answer)
            for item in told if isinstance(told, list) else [told]:
                self._change(methods[item["id"]], item)
            answer = json.dumps(told).encode()
        return status, headers, answer

    def _change(self, asked: dict[str, Any], told: dict[str, Any]) -> None:
        if asked["method"] == "eth_getLogs" and "result" in told:
            told["result"] = [log for log in told["result"] if not self._is_omitted(log)]
        if asked["method"] == "eth_getTransactionReceipt" and asked["params"][0] in self.denied:
            told["result"] = None
        if self.balance is not None and asked["method"] in ("eth_call", "eth_getBalance"):
            told["result"] = f"0x{self.balance:064x}"

    def _is_omitted(self, log: dict[str, Any]) -> bool:
        topics = log["topics"]
        return len(topics) > 2 and bytes.fromhex(topics[2][-40:]) in self.omitted


def lie(world: World, session: aiohttp.ClientSession, urls: list[str], *liars: str) -> Omitting:
    """A watcher behind providers of which these, or the first one, may lie."""
    omitting = Omitting(AiohttpTransport(session), *(liars or urls[:1]))
    pool = RpcPool(
        "anvil", 31337, urls, transport=omitting, clock=world.clock, entropy=SystemEntropy()
    )
    world.restart(ChainClient(pool))
    return omitting


class Behind:
    """Some providers know nothing of the newest blocks.

    :param urls: the providers that lag.
    """

    def __init__(self, inner: Transport, *urls: str) -> None:
        self._inner = inner
        self.urls = urls
        self.blocks = 0
        """By so many."""

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109
    ) -> tuple[int, Mapping[str, str], bytes]:
        if url not in self.urls or not self.blocks:
            return await self._inner.post(url, body, timeout)
        newest = await self._newest(url, timeout)
        asked = json.loads(body.replace(b'"latest"', b'"%s"' % hex(newest).encode()))
        status, headers, answer = await self._inner.post(url, json.dumps(asked).encode(), timeout)
        told = json.loads(answer)
        for item in told if isinstance(told, list) else [told]:
            found = item.get("result")
            number = (
                found.get("number") or found.get("blockNumber") if isinstance(found, dict) else None
            )
            if number is not None and int(number, 16) > newest:
                item["result"] = None
        return status, headers, json.dumps(told).encode()

    async def _newest(self, url: str, timeout: float) -> int:  # noqa: ASYNC109
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
        _, _, answer = await self._inner.post(url, json.dumps(asked).encode(), timeout)
        return int(json.loads(answer)["result"], 16) - self.blocks


def lag(world: World, session: aiohttp.ClientSession, urls: list[str], *behind: str) -> Behind:
    """A watcher behind providers of which these may lag."""
    lagging = Behind(AiohttpTransport(session), *behind)
    pool = RpcPool(
        "anvil", 31337, urls, transport=lagging, clock=world.clock, entropy=SystemEntropy()
    )
    world.restart(ChainClient(pool))
    return lagging
