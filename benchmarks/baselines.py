"""What ours is compared with: the shortest programs that read the same logs.

None of them links blocks, checks a bloom, or keeps anything.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec
import orjson
from web3 import AsyncHTTPProvider, AsyncWeb3

from chain.model import TRANSFER_TOPIC

RANGE: Final = 100
_TOPIC: Final = "0x" + TRANSFER_TOPIC.hex()


class FiveFields(msgspec.Struct, gc=False, rename="camel"):
    """As little of a log as a payment can be made of."""

    address: str
    topics: list[str]
    data: str
    block_number: str
    transaction_hash: str


class Reply(msgspec.Struct, gc=False):
    """To ``eth_getLogs``."""

    result: list[FiveFields]


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of logs read; ``cpu``: seconds of this process, all threads."""

    logs: int
    hits: int
    seconds: float
    cpu: float

    @property
    def speed(self) -> float:
        """Logs a second."""
        return self.logs / self.seconds

    @property
    def cpu_speed(self) -> float:
        """Logs a CPU second: what other load on the machine leaves as it is."""
        return self.logs / self.cpu


Count = Callable[[bytes], tuple[int, int]]
"""A reply's body → logs, hits."""


def count_with_msgspec(wanted: Collection[str]) -> Count:
    """Decode five fields, look topic 2 up in a set."""
    decoder = msgspec.json.Decoder(Reply)

    def count(body: bytes) -> tuple[int, int]:
        rows = decoder.decode(body).result
        return len(rows), len([row for row in rows if row.topics[2] in wanted])

    return count


def count_with_orjson(wanted: Collection[str]) -> Count:
    """Decode everything, look topic 2 up in a set."""

    def count(body: bytes) -> tuple[int, int]:
        rows: list[dict[str, Any]] = orjson.loads(body)["result"]
        return len(rows), len([row for row in rows if row["topics"][2] in wanted])

    return count


async def read_raw(
    session: aiohttp.ClientSession, url: str, first: int, last: int, count: Count
) -> Run:
    """``eth_getLogs`` in ranges of 100 blocks, one after another, over a bare session."""

    async def read(start: int, end: int) -> tuple[int, int]:
        body = msgspec.json.encode(
            {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [_filter(start, end)]}
        )
        async with session.post(url, data=body) as response:
            return count(await response.read())

    return await _timed(first, last, read)


async def read_web3(url: str, first: int, last: int, wanted: Collection[str]) -> Run:
    """The same through ``AsyncWeb3.eth.get_logs``."""
    w3 = AsyncWeb3(AsyncHTTPProvider(url, request_kwargs={"timeout": aiohttp.ClientTimeout(60)}))

    async def read(start: int, end: int) -> tuple[int, int]:
        logs = await w3.eth.get_logs(_filter(start, end))  # type: ignore[arg-type]
        return len(logs), len([log for log in logs if log["topics"][2].to_0x_hex() in wanted])

    try:
        return await _timed(first, last, read)
    finally:
        await w3.provider.disconnect()


def _filter(first: int, last: int) -> dict[str, Any]:
    return {"fromBlock": hex(first), "toBlock": hex(last), "topics": [_TOPIC]}


async def _timed(
    first: int, last: int, read: Callable[[int, int], Awaitable[tuple[int, int]]]
) -> Run:
    logs = hits = 0
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(first, last + 1, RANGE):
        more_logs, more_hits = await read(start, min(last, start + RANGE - 1))
        logs += more_logs
        hits += more_hits
    return Run(logs, hits, time.perf_counter() - began, time.process_time() - cpu)
