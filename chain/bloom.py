"""Membership in a block's ``logsBloom``: 2048 bits, three per address and topic.

Yellow Paper, §4.4.3 (M3:2048). *No* is certain, *yes* is a maybe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sha3 import keccak_256

from chain.model import TRANSFER_TOPIC, Log
from config.units import Address


def mask(item: bytes) -> int:
    """The three bits of an address (20 bytes) or topic (32 bytes), as a 2048-bit integer."""
    digest = keccak_256(item).digest()
    bits = 0
    for offset in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[offset : offset + 2], "big") & 2047)
    return bits


def bloom_of(logs: Iterable[Log]) -> int:
    """The bloom that these logs alone would give."""
    bits = 0
    seen: set[bytes] = set()
    for log in logs:
        for item in (log.address, *log.topics):
            if item not in seen:
                seen.add(item)
                bits |= mask(item)
    return bits


def admits(logs_bloom: bytes, logs: Sequence[Log]) -> bool:
    """Whether a block with this bloom can hold these logs; ``False`` proves it cannot."""
    bits = bloom_of(logs)
    return int.from_bytes(logs_bloom, "big") & bits == bits


class TransferProbe:
    """Whether a block may hold an ERC-20 transfer of one of some tokens.

    The masks are computed once; a probe per block is a few integer operations.
    """

    __slots__ = ("_masks",)

    def __init__(self, tokens: Iterable[Address]) -> None:
        topic = mask(TRANSFER_TOPIC)
        self._masks = tuple(mask(token) | topic for token in tokens)

    def may_hold(self, logs_bloom: bytes) -> bool:
        bits = int.from_bytes(logs_bloom, "big")
        return any(bits & wanted == wanted for wanted in self._masks)
