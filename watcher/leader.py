"""One process per chain writes: a lease that is kept while its watcher runs.

Holding it is no licence by itself: every transaction of the watcher checks
the lease in its own commit (:func:`watcher.effects.hold`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from config.clock import Clock
from config.errors import DatabaseError, LeaseLostError
from config.waiting import wait
from ledger.leases import DEFAULT_TTL, Lease, Standstill, acquire, release, renew
from ledger.store import Ledger


class Leader:
    """Keeps ``name`` for ``owner``; with no owner there is nobody to share the chain with."""

    def __init__(self, ledger: Ledger, name: str, owner: str | None, clock: Clock) -> None:
        self._ledger = ledger
        self._name = name
        self._owner = owner
        self._clock = clock
        self._lease: Lease | None = None
        self._renew_at = 0.0
        self._standstill = Standstill()

    @property
    def lease(self) -> Lease | None:
        """What a transaction has to check; ``None`` without an owner."""
        return self._lease

    async def lead(self) -> bool:
        """Take or keep the lease; ``False`` while another process holds it."""
        if self._owner is None:
            return True
        now = self._clock.monotonic()
        if self._lease is not None and now < self._renew_at:
            return True
        async with self._ledger.transaction() as tx:
            if self._lease is not None:
                try:
                    self._lease = await renew(tx, self._lease)
                except LeaseLostError:
                    self._lease = None
            if self._lease is None:
                self._lease = await acquire(
                    tx, self._name, self._owner, waiting=(self._standstill, now)
                )
        self._renew_at = now + self._rest()
        return self._lease is not None

    async def keep(self, stop: asyncio.Event) -> None:
        """Renew what is held until ``stop``: where providers are slow a pass outlasts a lease.

        Otherwise it would be read in vain, and with it each that is no faster.
        """
        while self._owner is not None and not await wait(self._clock, self._rest(), stop):
            lease, now = self._lease, self._clock.monotonic()
            if lease is None or now < self._renew_at:
                continue
            with suppress(DatabaseError):
                try:
                    async with self._ledger.transaction() as tx:
                        await renew(tx, lease)
                except LeaseLostError:
                    self._renew_at = now  # the next pass asks who leads
                else:
                    self._renew_at = now + self._rest()

    def _rest(self) -> float:
        """Seconds from one renewal to the next."""
        return DEFAULT_TTL.total_seconds() / 3

    def lost(self) -> None:
        """A check failed: take the lease anew before the next act."""
        self._lease = None

    async def resign(self) -> None:
        """Let another process go on at once."""
        if self._lease is not None:
            async with self._ledger.transaction() as tx:
                await release(tx, self._lease)
            self._lease = None
