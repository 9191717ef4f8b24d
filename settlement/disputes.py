"""Two providers that tell different things about one state: a hold names both, until they agree.

Whatever waits for them does so for as long as they differ, and nobody would know why. A hold at
``CHAIN/providers/WHAT`` says so once it has lasted; releasing it decides nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from chain.client import ChainClient
from ledger.leases import Lease
from settlement.agreed import hear
from settlement.known_holds import House, KnownHolds

R = TypeVar("R")
LASTING: Final = timedelta(seconds=60)
"""For so long one of them may just be behind."""


class Disputes:
    """Remembers one chain's: since when, and which have a hold."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._holds = KnownHolds("providers", "providers/")

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
        if heard.answer is None:
            await self._differ(ctx, lease, what, heard.words)
        else:
            await self.over(ctx, lease, what)
        return heard.answer

    async def over(self, ctx: House, lease: Lease, what: str) -> None:
        """They agree, or it was found out by other means."""
        self._since.pop(what, None)
        await self._holds.close(ctx, lease, what, "they agree")

    async def _differ(self, ctx: House, lease: Lease, what: str, words: str) -> None:
        now = ctx.clock.now()
        began = self._since.setdefault(what, now)
        reason = f"{what}: {words}"
        ctx.observer.note("providers_differ", chain=ctx.name, reason=reason)
        if now - began >= LASTING:
            await self._holds.open(ctx, lease, what, reason)
