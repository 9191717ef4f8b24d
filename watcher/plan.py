"""What to read next: a pure choice from cursor, head and final block.

Two zones::

        final (stored)        final (chain)          head
    ------|---------------------|---------------------|
     done |  by range of blocks | block by block, by  |
          |  (nothing changes)  | hash, parent-linked |

Below the chain's final block a range is read at once, because its blocks can
no longer be exchanged; above it each block is read by its own hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BLOCKS_PER_PASS: Final = 32
"""Blocks above finality read in one pass: bounds the transaction, not the catch-up."""
LOGS_PER_RANGE: Final = 20_000
"""Logs that a range is meant to hold: about 12 MB of JSON."""
LOGS_AHEAD: Final = 100_000
"""Logs that the ranges under way are meant to hold: about 60 MB of JSON if all arrive at once."""
DEEPEST: Final = 8
"""Ranges under way, however small they are."""
_STALLED: Final = 0.002
"""Seconds of waiting that a range more would have saved."""
_SWAMPED: Final = 1.0
"""Seconds of waiting after which it is not latency: provider or line give no more."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """The head is not above the cursor: a lagging node, a repeated or an older head."""


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Blocks ``first … last``, both included, all final."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ReadBlocks:
    """Blocks ``first … last``, both included, that may still be exchanged."""

    first: int
    last: int


Step = Nothing | ReadRange | ReadBlocks


def next_step(*, cursor: int, head: int, final: int, range_size: int) -> Step:
    """The next pass.

    :param cursor: last block whose effects are committed.
    :param head: newest block of the provider of this pass.
    :param final: highest block that the chain holds as final now; may lie below the cursor.
    :param range_size: how many blocks a range read may take, at least 1.
    """
    assert range_size >= 1
    if head <= cursor:
        return Nothing()
    first = cursor + 1
    settled = min(final, head)
    if settled >= first:
        return ReadRange(first, min(settled, first + range_size - 1))
    return ReadBlocks(first, min(head, first + BLOCKS_PER_PASS - 1))


def fitting(range_size: int, logs_per_block: float | None) -> int:
    """Blocks of a range that holds no more than :data:`LOGS_PER_RANGE`, by what was seen last.

    :param logs_per_block: ``None``: nothing was read yet.
    """
    if not logs_per_block:
        return range_size
    return max(1, min(range_size, int(LOGS_PER_RANGE / logs_per_block)))


def ranges_ahead(
    *,
    top: int,
    final: int,
    range_size: int,
    depth: int,
    logs_per_block: float | None,
    under_way: Sequence[ReadRange],
) -> list[ReadRange]:
    """The ranges to begin with now, above those under way.

    One is always allowed; more only once it is known what a block holds.

    :param top: last block that was read.
    :param depth: how many ranges may be under way in all.
    """
    begun: list[ReadRange] = []
    first = under_way[-1].last + 1 if under_way else top + 1
    expected = (logs_per_block or 0.0) * (first - 1 - top)
    while first <= final and len(under_way) + len(begun) < depth:
        step = ReadRange(first, min(final, first + range_size - 1))
        expected += (logs_per_block or 0.0) * (step.last - step.first + 1)
        if (under_way or begun) and (logs_per_block is None or expected > LOGS_AHEAD):
            break
        begun.append(step)
        first = step.last + 1
    return begun


def deeper(depth: int, waited: float) -> int:
    """How many ranges may be under way, after the next one was waited for so many seconds.

    One more where latency was felt. One less after a long wait: more requests at once would
    only queue up at a provider, or at its rate limit, that gives no more.
    """
    if waited >= _SWAMPED:
        return max(1, depth - 1)
    return min(DEEPEST, depth + 1) if waited >= _STALLED else depth
