"""Whether a reply about logs can be true: ranges, hashes, blooms. Pure.

The client has checked the reply against the request. Here it is held against
the headers: a log of another block than the linked one, and an empty answer
where the block's bloom says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Final

from chain.bloom import admits, bloom_of
from chain.model import BlockHeader, Log
from watcher.filters import LogFilter

_BLOOM_BITS: Final = 2048
_UNLIKELY: Final = 0.02
"""Expected false alarms per block below which a bloom's *yes* is taken seriously."""


class Evidence(Enum):
    """What a block's bloom says about logs that the answer does not contain."""

    NONE = "none"
    WEAK = "weak"
    """Maybe, but a bloom as full as this says so of anything."""
    STRONG = "strong"


def misplaced(headers: Sequence[BlockHeader], logs: Sequence[Log]) -> str | None:
    """Why these logs cannot belong to these blocks; ``None`` if they can."""
    by_number = {header.number: header for header in headers}
    for log in logs:
        header = by_number.get(log.block_number)
        if header is None:
            return f"a log is of block {log.block_number}, which was not asked for"
        if header.hash != log.block_hash:
            return f"a log of block {log.block_number} carries another block's hash"
    return None


def not_in_bloom(headers: Sequence[BlockHeader], logs: Sequence[Log]) -> list[int]:
    """Blocks whose bloom does not admit a log that the answer puts there.

    Not proof of a lie: some chains leave system transactions out of the bloom.
    """
    grouped: dict[int, list[Log]] = {}
    for log in logs:
        grouped.setdefault(log.block_number, []).append(log)
    blooms: Mapping[int, bytes] = {header.number: header.logs_bloom for header in headers}
    return [number for number, found in grouped.items() if not admits(blooms[number], found)]


def accounts_for(header: BlockHeader, everything: Sequence[Log]) -> bool:
    """Whether these logs, asked for without a filter, explain every bit of the block's bloom.

    Then none was left out, but for what others happen to hide: three bits an item of 2048.
    A bloom may lack logs (system transactions), it cannot have more than the block.
    """
    bits = int.from_bytes(header.logs_bloom)
    return bits & bloom_of(everything) == bits and all(
        log.block_hash == header.hash for log in everything
    )


def evidence(logs_bloom: bytes, wanted: LogFilter) -> Evidence:
    """How strongly a bloom speaks for a log that the filter would pass (3 bits an item)."""
    bits = int.from_bytes(logs_bloom)
    if not any(bits & mask == mask for mask in wanted.masks):
        return Evidence.NONE
    full = bits.bit_count() / _BLOOM_BITS
    expected = len(wanted.masks) * full**3
    return Evidence.STRONG if expected < _UNLIKELY else Evidence.WEAK


def suspiciously_empty(
    headers: Sequence[BlockHeader], answered: Collection[int], wanted: LogFilter
) -> list[BlockHeader]:
    """Blocks without any log in the answer although the bloom all but proves one.

    :param answered: heights for which the answer held logs, matched or not.
    """
    if wanted.asks_nothing:
        return []
    return [
        header
        for header in headers
        if header.number not in answered and evidence(header.logs_bloom, wanted) is Evidence.STRONG
    ]
