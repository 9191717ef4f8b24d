"""Holds that open and close by themselves, kept in mind: closing what is not open costs nothing."""

from __future__ import annotations

from typing import Protocol

from chain.client import ChainClient
from config.clock import Clock
from ledger.holds import close_holds, hold, open_places
from ledger.leases import Lease, check
from ledger.store import Ledger
from settlement.observer import SettlementObserver


class House(Protocol):
    """What is needed of :class:`settlement.context.Context`."""

    @property
    def name(self) -> str: ...
    @property
    def client(self) -> ChainClient: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def observer(self) -> SettlementObserver: ...


class KnownHolds:
    """Those of one chain whose places begin alike.

    :param prefix: of their places, after ``CHAIN/``.
    """

    def __init__(self, object_type: str, prefix: str) -> None:
        self._type = object_type
        self._prefix = prefix
        self._open: set[str] = set()
        self._read_under: int | None = None

    async def open(self, ctx: House, lease: Lease, name: str, reason: str) -> None:
        """Open it, or leave it as it is."""
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await hold(tx, "batch", self._type, f"{ctx.name}/{self._prefix}{name}", reason)
        self._open.add(name)

    async def close(self, ctx: House, lease: Lease, name: str, resolution: str) -> None:
        """Close it if it is open."""
        if name not in await self.names(ctx, lease):
            return
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await close_holds(tx, "batch", f"{ctx.name}/{self._prefix}{name}", resolution)
        self._open.discard(name)

    async def names(self, ctx: House, lease: Lease) -> set[str]:
        """Of those that are open, without the prefix."""
        if self._read_under != lease.fencing_token:
            # Another process may have opened some, and may not live to close them.
            prefix = f"{ctx.name}/{self._prefix}"
            async with ctx.ledger.reading() as tx:
                places = await open_places(tx, "batch", prefix)
            self._open = {place.removeprefix(prefix) for place in places}
            self._read_under = lease.fencing_token
        return self._open
