"""The daemon's own parts put together for a measurement."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.replay.chain import CHAIN_ID, USDC, XPUB
from bursar.compose import House, open_house
from bursar.heads import HeadListener
from config.catalogue import Catalogue
from config.chains import ChainSettings
from config.clock import SystemClock, SystemEntropy
from config.credentials import Secrets
from config.settings import Settings, parse_settings
from config.units import to_hex
from ledger.invoices import Tolerance
from ledger.payment_rows import PaymentPolicy
from ledger.store import Ledger, make_engine
from watcher.observer import WatcherObserver
from watcher.service import ChainWatcher

CHAIN: Final = "replay"
CONFIRMATIONS: Final = 12


def config_text(database: str, rpc_url: str, poll: str = "200ms") -> str:
    """A ``bursar.toml`` for the synthetic chain."""
    return f"""
[database]
url = "{database}"
[wallets]
deposit_xpub = "{XPUB}"
[[chains]]
name = "{CHAIN}"
chain_id = {CHAIN_ID}
rpc_urls = ["{rpc_url}"]
poll_interval = "{poll}"
finality = {{ confirmations = {CONFIRMATIONS} }}
start_block = 1
  [[chains.tokens]]
  symbol = "USDC"
  address = "{to_hex(USDC)}"
  decimals = 6
  currency = "USD"
"""


def settings_for(database: str, rpc_url: str, poll: str = "200ms") -> Settings:
    """The same as checked settings."""

    return parse_settings(tomllib.loads(config_text(database, rpc_url, poll)))


@dataclass(frozen=True)
class Stage:
    """A house with one chain, and its watcher."""

    house: House
    watcher: ChainWatcher

    @property
    def chain(self) -> ChainSettings:
        return self.house.settings.chains[0]


@asynccontextmanager
async def open_stage(
    database: str,
    rpc_url: str,
    *,
    observer: WatcherObserver | None = None,
    settings: Settings | None = None,
    listen: bool = False,
) -> AsyncIterator[Stage]:
    """Everything as ``bursar run --role watcher`` puts it together, without its supervisor.

    :param listen: open a socket for new heads too.
    """
    settings = settings or settings_for(database, rpc_url)
    async with open_house(settings, Secrets()) as house:
        chain = settings.chains[0]
        listener = HeadListener(
            chain, house.outside.sockets, clock=house.clock, entropy=house.entropy
        )
        watcher = ChainWatcher(
            chain,
            client=house.chains[chain.name],
            ledger=house.ledger,
            policy=PaymentPolicy(),
            tolerance=Tolerance(),
            clock=house.clock,
            observer=observer,
            heads=listener.signal if listen else None,
        )
        stop = asyncio.Event()
        listening = asyncio.create_task(listener.run(stop)) if listen else None
        try:
            yield Stage(house, watcher)
        finally:
            stop.set()
            if listening is not None:
                await listening


def open_ledger(url: str) -> Ledger:
    """The books alone."""
    return Ledger(
        make_engine(url),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        catalogue=Catalogue(settings_for(url, "http://127.0.0.1:1").chains),
        public_url="http://pay.example",
    )
