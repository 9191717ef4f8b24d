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

from dataclasses import dataclass

BLOCKS_PER_PASS = 32
"""Blocks above finality read in one pass: bounds the transaction, not the catch-up."""


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
