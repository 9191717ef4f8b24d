"""From a block being mined to its payment being committed, on a real node with 1 s blocks."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.books import open_invoices, sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_most, percentile
from benchmarks.replay.chain import HIT_UNITS, USDC, XPUB
from benchmarks.stage import Stage, open_stage, settings_for
from chain.anvil import Anvil, AnvilOptions, DevRpc
from config.settings import Settings
from config.units import Address
from ledger.migrate import upgrade
from tests.support.tokens import deploy_tokens, send, transfer_data
from wallets.derivation import DepositDeriver
from watcher.observer import SilentObserver

POLL: Final = "200ms"
PAYERS: Final = "legal winner thank year wave sausage worth useful legal winner thank yellow"
"""A public test vector (BIP 39). The node's usual accounts are deposit addresses of the books'
xpub: the balance audit would find money on them that no payment explains, and look for it."""
_LOOK: Final = 0.004
"""Seconds between two looks at the node's height: how exactly *mined* is known."""


class Commits(SilentObserver):
    """When the cursor passed each block."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def on_cursor(self, chain: str, block: int, lag_blocks: int, lag_seconds: float) -> None:
        del chain, lag_blocks, lag_seconds
        self.at.setdefault(block, time.perf_counter())


class Heights(threading.Thread):
    """Looks at the node's height all the time, over a connection of its own."""

    def __init__(self, port: int) -> None:
        super().__init__(name="heights", daemon=True)
        self.at: dict[int, float] = {}
        self.stopped = threading.Event()
        self._port = port

    def run(self) -> None:
        body = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.stopped.wait(_LOOK):
            connection.request("POST", "/", body, {"content-type": "application/json"})
            text = connection.getresponse().read()
            number = int(text.split(b'"result":"0x')[1].split(b'"')[0], 16)
            self.at.setdefault(number, time.perf_counter())
        connection.close()


def measure(context: Context) -> list[Figure]:
    """Polling each 200 ms, and woken by the node; a payment in every block."""
    blocks = context.sizes.detection_blocks
    figures = []
    for listen, name, most in ((False, "polling 200 ms", 300), (True, "newHeads", 100)):
        context.tell(f"{blocks} blocks of one second, {name}")
        delays = asyncio.run(_detect(context, blocks, listen))
        figures.append(
            Figure(
                f"detection at 1 s blocks, {name} (p99)", percentile(delays, 0.99) * 1e3, "ms",
                target=at_most(most),
                details={
                    "p50": percentile(delays, 0.5) * 1e3,
                    "longest": max(delays) * 1e3,
                    "blocks": len(delays),
                },
            )
        )  # fmt: skip
    return figures


async def _detect(context: Context, blocks: int, listen: bool) -> list[float]:
    options = AnvilOptions(block_time=1, mnemonic=PAYERS)
    async with Anvil(options) as anvil, DevRpc(anvil.rpc_url) as rpc:
        accounts = await rpc.call("eth_accounts")
        await rpc.call("evm_setAutomine", True)
        token = (await deploy_tokens(rpc, accounts[:1]))["USDC"].address
        await rpc.call("evm_setIntervalMining", 1)
        path = context.folder / f"detection-{listen}.db"
        settings = _settings(path, anvil.rpc_url, token)
        await upgrade(sqlite_url(path))
        commits = Commits()
        stage = open_stage(
            sqlite_url(path), anvil.rpc_url, settings=settings, observer=commits, listen=listen
        )
        async with stage as opened:
            await open_invoices(opened.house.ledger, blocks)
            heights = Heights(int(anvil.rpc_url.rsplit(":", 1)[1]))
            heights.start()
            try:
                await _pay(rpc, opened, accounts[0], token, blocks)
            finally:
                heights.stopped.set()
                await asyncio.to_thread(heights.join)
    first = min(heights.at) + 2
    known = [n for n in sorted(heights.at) if n >= first and n <= max(commits.at)]
    return [
        min(at for block, at in commits.at.items() if block >= n) - heights.at[n] for n in known
    ]


async def _pay(rpc: DevRpc, stage: Stage, payer: str, token: Address, blocks: int) -> None:
    """One payment in each block while the watcher follows."""
    stop = asyncio.Event()
    following = asyncio.create_task(stage.watcher.run(stop))
    try:
        for address in DepositDeriver(XPUB).addresses(0, blocks):
            await send(rpc, payer, token, transfer_data(address, HIT_UNITS), wait=False)
            await asyncio.sleep(1)
    finally:
        stop.set()
        await following


def _settings(path: Path, url: str, token: Address) -> Settings:
    settings = settings_for(sqlite_url(path), url, POLL)
    chain = settings.chains[0]
    (usdc,) = chain.tokens
    assert usdc.address == USDC
    tokens = (usdc.model_copy(update={"address": token}),)
    return settings.model_copy(update={"chains": (chain.model_copy(update={"tokens": tokens}),)})
