"""Answers that are kept for a moment: asking in a loop costs no more than asking seldom."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from math import inf
from typing import Final, Generic, TypeVar

from config.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
MOST: Final = 1_000
"""Answers kept; the oldest goes first."""


@dataclass(slots=True)
class _Asked(Generic[V]):
    task: asyncio.Task[V]
    until: float = inf
    """Monotonic time to which the answer holds; while it is awaited, for ever."""


class Recent(Generic[K, V]):
    """Asks once at a time for each key, and again only when the last answer is old.

    An answer that failed is not kept.
    """

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V]],
        clock: Clock,
        *,
        seconds: float,
        share: int = 0,
    ) -> None:
        """:param seconds: how long an answer is kept.
        :param share: where it took long, kept for so many times that long.
        """
        self._ask = ask
        self._clock = clock
        self._seconds = seconds
        self._share = share
        self._asked: OrderedDict[K, _Asked[V]] = OrderedDict()

    async def get(self, key: K) -> V:
        """The answer; :raises Exception: what asking raised."""
        known = self._asked.get(key)
        if known is None or known.until <= self._clock.monotonic():
            known = _Asked(asyncio.create_task(self._fetch(key)))
            known.task.add_done_callback(_look_at)
            self._asked.pop(key, None)
            self._asked[key] = known
            if len(self._asked) > MOST:
                self._asked.popitem(last=False)
        # Who goes away meanwhile takes nothing from the others.
        return await asyncio.shield(known.task)

    async def _fetch(self, key: K) -> V:
        began, done = self._clock.monotonic(), False
        try:
            answer = await self._ask(key)
            done = True
        finally:
            ended = self._clock.monotonic()
            mine = self._asked.get(key)
            if mine is not None and mine.task is asyncio.current_task():
                if done:
                    mine.until = ended + max(self._seconds, self._share * (ended - began))
                else:
                    del self._asked[key]
        return answer


def _look_at(task: asyncio.Task[V]) -> None:
    """A failure that nobody waited for any more is no news."""
    if not task.cancelled():
        task.exception()
