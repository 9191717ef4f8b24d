"""What many watch is read for all of them together, at most once in a while.

A payer's open page and a merchant's long poll ask the database again and again. Each by itself, a
thousand of them take all its connections, and whoever has one invoice's link can open a thousand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from config.clock import Clock
from ledger.store import Ledger, Tx

V = TypeVar("V")


class Rounds(Generic[V]):
    """One reading transaction a round, one round at a time, and none while nobody waits."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        read: Callable[[Tx, Sequence[str]], Awaitable[Mapping[str, V]]],
        seconds: float,
    ) -> None:
        """:param read: the present values of the invoices that are asked for.
        :param seconds: from joining a round to its reading.
        """
        self._ledger = ledger
        self._clock = clock
        self._read = read
        self._seconds = seconds
        self._joined: set[str] = set()
        self._next: asyncio.Task[Mapping[str, V]] | None = None
        self._tasks: set[asyncio.Task[Mapping[str, V]]] = set()
        self._reading = asyncio.Lock()

    async def next(self, invoice_id: str) -> V | None:
        """What the coming round finds; ``None``: no such invoice.

        :raises DatabaseError: it could not be read.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._round())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._over)
        self._joined.add(invoice_id)
        # Who goes away meanwhile takes nothing from the others.
        return (await asyncio.shield(self._next)).get(invoice_id)

    async def _round(self) -> Mapping[str, V]:
        await self._clock.sleep(self._seconds)
        async with self._reading:
            # Who joins from here on is in the next.
            joined, self._joined, self._next = self._joined, set(), None
            async with self._ledger.reading() as tx:
                return await self._read(tx, sorted(joined))

    def _over(self, task: asyncio.Task[Mapping[str, V]]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever waited may be gone

    async def close(self) -> None:
        """Read nothing any more; nobody waits by now."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
