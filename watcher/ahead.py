"""Reading the next ranges while the last one commits: a bounded row of them, below finality.

What is read ahead is a guess. Blocks and logs of a range are held against each other when
they come; whether they hang on to ours is not known before the cursor stands below them::

        cursor            asked for, each beside the others
    ------|============|------------|------------|------------|- - -
     done | committing |  ready     |  ready     | under way  |

A range is used if the cursor came to stand right below it, its first block's parent is the
cursor's block, the pass is pinned to the provider that showed it, the filter is the same,
the chain still holds all of it as final, and nobody is paid in it whose address was
unknown when its reading began. Else it is thrown away with all that follow it: that costs
reads and no more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from config.clock import Clock
from config.units import Address
from ledger.cursors import BlockMark
from watcher.filters import LogFilter
from watcher.plan import ReadRange, deeper, fitting, ranges_ahead
from watcher.reading import Fork, Reading

_DEPTH_AT_FIRST: Final = 2
Outcome = Reading | Fork | None
"""``None``: too large; a smaller range is worth trying at once."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a read was begun with."""

    step: ReadRange
    provider: str | None
    asked: LogFilter


@dataclass(slots=True)
class _UnderWay:
    guess: Guess
    task: asyncio.Task[Outcome]
    unknown: list[Address] = field(default_factory=list)
    """Handed out after the read began."""


class Ahead:
    """The reads that are under way ahead of the cursor, in the order of their blocks.

    How many there may be, and of how many blocks, follows from what was seen last: logs in a
    block, and whether a range had to be waited for.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._row: deque[_UnderWay] = deque()
        self._depth = _DEPTH_AT_FIRST
        self._logs_per_block: float | None = None

    @property
    def steps(self) -> tuple[ReadRange, ...]:
        """Ranges under way or ready, ascending and without a gap."""
        return tuple(read.guess.step for read in self._row)

    def range_size(self, allowed: int) -> int:
        """Blocks of the next range.

        :param allowed: what the provider takes.
        """
        return fitting(allowed, self._logs_per_block)

    def begin(
        self,
        top: int,
        asked: LogFilter,
        read: Callable[[ReadRange], Coroutine[Any, Any, Outcome]],
        *,
        provider: str | None,
        final: int,
        allowed: int,
    ) -> None:
        """Ask for the ranges above block ``top``, as far as they are not under way.

        :param read: reads a range without knowing the block below it.
        :param final: highest block to ask for.
        :param allowed: blocks that a range may take at the provider.
        """
        if self._row and self._row[0].guess.step.first != top + 1:
            self.drop()  # a range broke off: what was asked for does not follow it
        ranges = ranges_ahead(
            top=top,
            final=final,
            range_size=self.range_size(allowed),
            depth=self._depth,
            logs_per_block=self._logs_per_block,
            under_way=self.steps,
        )
        for following in ranges:
            task = asyncio.create_task(read(following))
            self._row.append(_UnderWay(Guess(following, provider, asked), task))

    def missed(self, addresses: Iterable[Address]) -> None:
        """Handed out just now: a range is of use only if none of them is paid in it."""
        found = list(addresses)
        for read in self._row:
            read.unknown += found

    def follows(self, above: BlockMark, provider: str | None, asked: LogFilter, final: int) -> bool:
        """Whether the next range may be of use; if not, nothing is under way any more.

        :param final: what the chain holds as final now.
        """
        if not self._row:
            return False
        guess = self._row[0].guess
        fits = (guess.step.first, guess.provider, guess.asked) == (
            above.number + 1,
            provider,
            asked,
        )
        if not fits or guess.step.last > final:
            self.drop()
            return False
        return True

    async def take(
        self, above: BlockMark, provider: str | None, asked: LogFilter, final: int
    ) -> tuple[ReadRange, Outcome] | None:
        """The read that begins above this block; ``None`` if there is none that may be used.

        :raises RpcError, IncompleteReply: as the read itself; nothing is under way after that.
        """
        if not self.follows(above, provider, asked, final):
            return None
        read = self._row[0]
        found: tuple[ReadRange, Outcome] | None = None
        began, usable = self._clock.monotonic(), False
        try:
            outcome = await read.task
            if outcome is None:
                found = read.guess.step, None  # and what follows was asked for in the same size
            elif _hangs_on(outcome, above) and not _paid(outcome, read.unknown):
                found, usable = (read.guess.step, outcome), True
                self._logs_per_block = outcome.logs_per_block
        finally:  # also where the waiting itself was cancelled
            if not usable:
                self.drop()
        if usable:
            self._row.popleft()
            self._depth = deeper(self._depth, self._clock.monotonic() - began)
        return found

    def drop(self) -> None:
        """Forget all reads under way; their failures are of no interest any more."""
        for read in self._row:
            read.task.add_done_callback(_unheard)
            read.task.cancel()
        self._row.clear()


def _hangs_on(outcome: Reading | Fork, above: BlockMark) -> TypeGuard[Reading]:
    return isinstance(outcome, Reading) and outcome.headers[0].parent_hash == above.hash


def _paid(reading: Reading, unknown: Sequence[Address]) -> bool:
    """Whether a log that was read is to somebody who was not looked for."""
    return bool(unknown) and reading.matcher.any_to(unknown)


def _unheard(task: asyncio.Task[Outcome]) -> None:
    if not task.cancelled():
        task.exception()
