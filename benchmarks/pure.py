"""What single steps cost, without sockets and databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Final

import aiohttp
import msgspec
from bip_utils import Bip32Slip10Secp256k1, EthAddrEncoder

from benchmarks.baselines import FiveFields, Reply
from benchmarks.context import Context
from benchmarks.figures import Figure
from benchmarks.replay.chain import XPUB, ChainSpec
from benchmarks.replay.process import Replay
from chain.calls import LOG_PAGE
from chain.log_page import LogPage
from wallets.derivation import DepositDeriver
from watcher.match import AddressSet, RowMatcher

_BLOCKS: Final = 100
_REPEATS: Final = 7


def measure(context: Context) -> list[Figure]:
    """Derivation; decoding and matching of one reply of 100 blocks."""
    return [*_derivation(context), *_reply(context)]


def _derivation(context: Context) -> list[Figure]:
    count = context.sizes.derivations
    deriver = DepositDeriver(XPUB)
    ours = count / _cpu(lambda: deriver.addresses(0, count))
    node = Bip32Slip10Secp256k1.FromExtendedKey(XPUB)
    fewer = max(1, count // 10)

    def other() -> None:
        for index in range(fewer):
            EthAddrEncoder.EncodeKey(node.ChildKey(index).PublicKey().KeyObject())

    theirs = fewer / _cpu(other)
    return [
        Figure("deposit addresses derived", ours, "per CPU s", "bip_utils", theirs, ours / theirs)
    ]


def _reply(context: Context) -> list[Figure]:
    count = context.sizes.addresses
    with Replay(ChainSpec(blocks=_BLOCKS)) as replay:
        body = asyncio.run(_fetch(replay.url))
    context.tell(f"{count:,} addresses into memory")
    addresses = DepositDeriver(XPUB).addresses(0, count)
    ours = AddressSet()
    ours.add(addresses)
    theirs = frozenset("0x" + "0" * 24 + address.hex() for address in addresses)
    bare = msgspec.json.Decoder(Reply)
    page = _page(body)
    five = bare.decode(body).result
    logs = len(five)
    return [
        _per_log("one reply decoded", logs, lambda: LOG_PAGE.one.decode(body),
                 "five fields", lambda: bare.decode(body)),
        _per_log(f"one reply matched with {count:,} addresses", logs,
                 lambda: RowMatcher(ours).keep(page.rows),
                 "set of text", lambda: _in(five, theirs)),
        _per_log("decoded and matched", logs,
                 lambda: _ours(ours, _page(body)),
                 "five fields, set of text", lambda: _in(bare.decode(body).result, theirs)),
    ]  # fmt: skip


def _in(rows: list[FiveFields], wanted: frozenset[str]) -> list[FiveFields]:
    return [row for row in rows if row.topics[2] in wanted]


def _per_log(
    name: str, logs: int, ours: Callable[[], object], baseline: str, theirs: Callable[[], object]
) -> Figure:
    value, other = (
        median(_cpu(work) for _ in range(_REPEATS)) / logs * 1e9 for work in (ours, theirs)
    )
    return Figure(name, value, "CPU ns per log", baseline, other, value / other)


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


async def _fetch(url: str) -> bytes:
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "eth_getLogs",
        "params": [{"fromBlock": "0x1", "toBlock": hex(_BLOCKS)}],
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=msgspec.json.encode(request)) as response,
    ):
        return await response.read()


def _page(body: bytes) -> LogPage:
    page = LOG_PAGE.one.decode(body).result
    assert isinstance(page, LogPage)
    return page


def _ours(addresses: AddressSet, page: LogPage) -> object:
    return page.whole(RowMatcher(addresses).keep(page.rows))
