"""What an address more in a filter costs, and a log more in an answer: the switch between."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import aiohttp
import msgspec

from benchmarks.context import Context
from benchmarks.figures import Figure
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import Replay
from chain import calls
from chain.codec import to_header
from chain.model import TRANSFER_TOPIC, BlockHeader
from chain.rpc.wire import encode_call
from config.units import Address
from watcher.checks import suspiciously_empty
from watcher.filters import LogFilter
from watcher.match import FEW, AddressSet, RowMatcher

_BLOCKS: Final = 50
_REPEATS: Final = 7


def measure(context: Context) -> list[Figure]:
    """A block at the head, asked for by its hash: by address, and everything."""
    dice = random.Random(1)
    addresses = [Address(dice.randbytes(20)) for _ in range(FEW)]
    context.tell(f"{_BLOCKS} blocks, {FEW:,} addresses")
    with Replay(ChainSpec(blocks=_BLOCKS)) as replay:
        bodies, headers = asyncio.run(_fetch(replay.url))
    asked = LogFilter(tuple(addresses))
    assert asked.masks  # once for as long as the addresses are the same
    by_address, sent = _by_address(headers, asked)
    per_log, received = _everything(headers, bodies, addresses)
    return [
        Figure(
            "an address more in the filter, a block at the head", by_address, "CPU ns",
            "a log more in the answer", per_log, by_address / per_log,
            details={
                "bytes_sent_per_address": sent,
                "bytes_received_per_log": received,
                "addresses_per_log_by_cpu": per_log / by_address,
                "addresses_per_log_by_bytes": received / sent,
            },
        )
    ]  # fmt: skip


def _by_address(headers: list[BlockHeader], asked: LogFilter) -> tuple[float, float]:
    recipients = asked.recipients
    assert recipients is not None
    sizes: list[int] = []

    def work() -> None:
        for header in headers:
            padded = [recipient.rjust(32, b"\0") for recipient in recipients]
            topics: calls.Topics = (TRANSFER_TOPIC, None, padded)
            sizes.append(len(encode_call(calls.logs_of_block(header.hash, None, topics), 1)))
            suspiciously_empty([header], set(), asked)

    return _cpu(work) / len(headers) / len(recipients) * 1e9, sizes[0] / len(recipients)


def _everything(
    headers: list[BlockHeader], bodies: list[bytes], addresses: list[Address]
) -> tuple[float, float]:
    known = AddressSet()
    known.add(addresses)
    logs: list[int] = []

    def work() -> None:
        logs.clear()
        for header, body in zip(headers, bodies, strict=True):
            matcher = RowMatcher(known)
            call = calls.logs_of_block(header.hash, None, (TRANSFER_TOPIC,), matcher.keep)
            call.build(call.shape.one.decode(body).result)
            logs.append(matcher.read)

    seconds = _cpu(work)
    return seconds / sum(logs) * 1e9, sum(map(len, bodies)) / sum(logs)


def _cpu(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return median(times)


async def _fetch(url: str) -> tuple[list[bytes], list[BlockHeader]]:
    """Each block's logs as they came, and its header."""
    bodies, headers = [], []
    async with aiohttp.ClientSession() as session:
        for number in range(1, _BLOCKS + 1):
            block = await _ask(session, url, "eth_getBlockByNumber", [hex(number), False])
            row = calls.HEADER.one.decode(block).result
            assert row is not None and not isinstance(row, msgspec.UnsetType)
            header = to_header(row)
            wanted = {
                "blockHash": "0x" + header.hash.hex(),
                "topics": ["0x" + TRANSFER_TOPIC.hex()],
            }
            bodies.append(await _ask(session, url, "eth_getLogs", [wanted]))
            headers.append(header)
    return bodies, headers


async def _ask(session: aiohttp.ClientSession, url: str, method: str, params: list[Any]) -> bytes:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    async with session.post(url, data=body) as response:
        return await response.read()
