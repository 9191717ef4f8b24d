"""Putting the house together: what each part needs is made once, here, and handed down.

Nothing else in the product opens a socket pool, an engine or a keystore. What
comes from outside the process (time, randomness, the transport to the nodes)
is in :class:`Outside`, so that a simulator can put its own there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from bursar.door import Door, open_door
from chain.client import ChainClient
from chain.rpc.observer import RpcObserver
from chain.rpc.pool import RpcPool
from chain.rpc.transport import AiohttpTransport, Transport
from chain.sockets import AiohttpSockets, Sockets
from config.catalogue import Catalogue
from config.chains import ChainSettings
from config.clock import Clock, Entropy, SystemClock, SystemEntropy
from config.settings import HttpSettings, Secrets, Settings
from gateway.webhooks.sender import Sender, http_sender
from ledger.store import Ledger, make_engine

CONNECTIONS_PER_HOST: Final = 32
CONNECT_SECONDS: Final = 5.0


@asynccontextmanager
async def http_transport() -> AsyncIterator[Transport]:
    """Keep-alive connections to the RPC providers."""
    connector = aiohttp.TCPConnector(limit_per_host=CONNECTIONS_PER_HOST, ttl_dns_cache=60)
    timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield AiohttpTransport(session)


@asynccontextmanager
async def web_sockets() -> AsyncIterator[Sockets]:
    """Sockets on which providers announce new heads."""
    timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield AiohttpSockets(session)


class OpenDoor(Protocol):
    """Listens; see :func:`bursar.door.open_door`."""

    async def __call__(
        self, app: web.Application, http: HttpSettings, *, any_port: bool
    ) -> Door: ...


class OpenSender(Protocol):
    """Opens what webhooks are sent with; see :func:`gateway.webhooks.sender.http_sender`."""

    def __call__(self, *, allow_private: bool) -> AbstractAsyncContextManager[Sender]: ...


@dataclass(frozen=True)
class Outside:
    """The world outside the process."""

    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = field(default_factory=SystemEntropy)
    transport: Callable[[], AbstractAsyncContextManager[Transport]] = http_transport
    sockets: Callable[[], AbstractAsyncContextManager[Sockets]] = web_sockets
    engine: Callable[[str], AsyncEngine] = make_engine
    door: OpenDoor = open_door
    webhooks: OpenSender = http_sender


@dataclass(frozen=True)
class House:
    """What commands and the daemon work with; closed by :func:`open_house`."""

    settings: Settings
    secrets: Secrets
    catalogue: Catalogue
    outside: Outside
    ledger: Ledger
    pools: Mapping[str, RpcPool]
    """By chain name; those that were asked for."""
    chains: Mapping[str, ChainClient]

    @property
    def clock(self) -> Clock:
        return self.outside.clock

    @property
    def entropy(self) -> Entropy:
        return self.outside.entropy

    def chain_settings(self) -> tuple[ChainSettings, ...]:
        """Settings of the chains in use, in the order of the file."""
        return tuple(c for c in self.settings.chains if c.name in self.chains)


@asynccontextmanager
async def open_house(
    settings: Settings,
    secrets: Secrets,
    outside: Outside | None = None,
    *,
    chains: Sequence[str] | None = None,
    observer: RpcObserver | None = None,
) -> AsyncIterator[House]:
    """Engine, transport and clients; nothing is connected before it is used.

    :param chains: names of the chains to speak to; ``None`` for all.
    :raises NotFoundError: a name that is not configured.
    """
    outside = outside or Outside()
    catalogue = Catalogue(settings.chains)
    wanted = [chain.name for chain in settings.chains] if chains is None else list(chains)
    chosen = [catalogue.chain(name) for name in wanted]
    async with outside.transport() as transport:
        ledger = Ledger(
            outside.engine(settings.database.url),
            clock=outside.clock,
            entropy=outside.entropy,
            catalogue=catalogue,
            public_url=settings.http.public_url,
        )
        pools = {c.name: _pool(c, transport, outside, observer) for c in chosen}
        try:
            yield House(
                settings=settings,
                secrets=secrets,
                catalogue=catalogue,
                outside=outside,
                ledger=ledger,
                pools=pools,
                chains={name: ChainClient(pool) for name, pool in pools.items()},
            )
        finally:
            await ledger.dispose()


def _pool(
    chain: ChainSettings, transport: Transport, outside: Outside, observer: RpcObserver | None
) -> RpcPool:
    return RpcPool(
        chain.name,
        chain.chain_id,
        chain.rpc_urls,
        transport=transport,
        clock=outside.clock,
        entropy=outside.entropy,
        observer=observer,
    )
