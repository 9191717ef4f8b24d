"""Two providers that tell different things about one state: a hold names both, until they agree.

Whatever waits for them does so for as long as they differ, and nobody would know why. A hold at
``CHAIN/providers/WHAT`` says so once it has lasted; releasing it decides nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from chain.client import ChainClient
from config.clock import Clock
from ledger.holds import close_holds, hold, open_places
from ledger.leases import Lease, check
from ledger.store import Ledger
from settlement.agreed import hear
from settlement.observer import SettlementObserver

R = TypeVar("R")
LASTING: Final = timedelta(seconds=60)
"""For so long one of them may just be behind."""


class House(Protocol):
    """What it needs of :class:`settlement.context.Context`, which has one of these."""

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


class Disputes:
    """Remembers one chain's: since when, and which have a hold."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._held: set[str] = set()
        self._read_under: int | None = None

    async def agreed(
        self,
        ctx: House,
        lease: Lease,
        what: str,
        ask: Callable[[ChainClient], Awaitable[R]],
        *,
        since: int | None = None,
    ) -> R | None:
        """As :func:`settlement.agreed.hear`; ``None``: they differ, and whoever asks waits.

        :param what: the state, in words that name no more than one.
        :raises RpcError: nobody answers.
        """
        heard = await hear(ctx.client, ask, since=since)
        place = f"{ctx.name}/providers/{what}"
        if heard.answer is None:
            await self._open(ctx, lease, place, f"{what}: {heard.words}")
        else:
            await self._close(ctx, lease, place)
        return heard.answer

    async def over(self, ctx: House, lease: Lease, what: str) -> None:
        """It was found out by other means, or does not matter any more."""
        await self._close(ctx, lease, f"{ctx.name}/providers/{what}")

    async def _open(self, ctx: House, lease: Lease, place: str, reason: str) -> None:
        now = ctx.clock.now()
        began = self._since.setdefault(place, now)
        ctx.observer.note("providers_differ", chain=ctx.name, reason=reason)
        if now - began < LASTING:
            return
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await hold(tx, "batch", "providers", place, reason)
        self._held.add(place)

    async def _close(self, ctx: House, lease: Lease, place: str) -> None:
        self._since.pop(place, None)
        if self._read_under != lease.fencing_token:
            # Another process may have opened some, and may not live to close them.
            async with ctx.ledger.reading() as tx:
                self._held |= await open_places(tx, "batch", f"{ctx.name}/providers/")
            self._read_under = lease.fencing_token
        if place not in self._held:
            return
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            await close_holds(tx, "batch", place, "they agree")
        self._held.discard(place)
