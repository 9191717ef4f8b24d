"""Reading the next range while the last one commits; at most one, and only below finality.

What is read ahead is a guess: it is used only if the cursor came to stand where it
begins, with the provider and the filter that it was read with. Nothing else depends on
it, so that throwing it away costs a read and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from config.units import Address
from ledger.cursors import BlockMark
from watcher.filters import LogFilter
from watcher.plan import ReadRange
from watcher.reading import Fork, Reading

Outcome = Reading | Fork | None
"""``None``: too large; a smaller range is worth trying at once."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a read was begun with."""

    step: ReadRange
    above: BlockMark
    provider: str | None
    asked: LogFilter


class Ahead:
    """The one read that is under way ahead of the cursor."""

    def __init__(self) -> None:
        self._guess: Guess | None = None
        self._task: asyncio.Task[Outcome] | None = None
        self._unknown: list[Address] = []

    def begin(self, guess: Guess, reading: Coroutine[Any, Any, Outcome]) -> None:
        """Start reading; what was under way before is dropped."""
        self.drop()
        self._guess = guess
        self._task = asyncio.create_task(reading)

    def missed(self, addresses: Iterable[Address]) -> None:
        """Handed out after the read began: it is of use only if none of them is paid in it."""
        if self._task is not None:
            self._unknown += addresses

    async def take(
        self, above: BlockMark, provider: str | None, asked: LogFilter, final: int
    ) -> tuple[ReadRange, Outcome] | None:
        """The read that begins above this block; ``None`` if there is none that fits.

        :param final: what the chain holds as final now; a read that reaches above it is dropped.

        :raises RpcError, IncompleteReply: as the read itself; nothing is under way after that.
        """
        guess, task, unknown = self._guess, self._task, self._unknown
        if guess is None or task is None:
            return None
        begun_with = (guess.above, guess.provider, guess.asked)
        if begun_with != (above, provider, asked) or guess.step.last > final:
            self.drop()
            return None
        self._guess, self._task, self._unknown = None, None, []
        try:
            outcome = await task
        finally:
            task.cancel()  # where the waiting itself was cancelled
        if isinstance(outcome, Reading) and unknown and outcome.matcher.any_to(unknown):
            return None
        return guess.step, outcome

    def drop(self) -> None:
        """Forget the read under way; its failure is of no interest any more."""
        if self._task is not None:
            self._task.add_done_callback(_unheard)
            self._task.cancel()
        self._guess, self._task, self._unknown = None, None, []


def _unheard(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled():
        task.exception()
