"""How many blocks a range read may take: learned per provider.

Split on *too large* and timeouts only; grow slowly again. A limit that the
provider named is kept as a ceiling, so that it is not run into again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

FIRST: Final = 100
LARGEST: Final = 1_000
SPARSE: Final = 2_000
"""Blocks of a read that names an address of ours, or a sender: there are few such logs."""
_GOOD_BEFORE_GROWING: Final = 4


@dataclass(frozen=True, slots=True)
class RangeSize:
    """``size``: blocks per read now; ``ceiling``: the most this provider takes."""

    size: int = FIRST
    ceiling: int = LARGEST
    good: int = 0


def grown(now: RangeSize, used: int) -> RangeSize:
    """After a good answer over ``used`` blocks; a shorter read than allowed proves nothing."""
    if used < now.size:
        return now
    if now.good + 1 < _GOOD_BEFORE_GROWING:
        return replace(now, good=now.good + 1)
    return replace(now, size=min(now.ceiling, now.size + max(1, now.size // 4)), good=0)


def shrunk(now: RangeSize, used: int, named: int | None = None) -> RangeSize:
    """After *too large* or a timeout over ``used`` blocks.

    :param named: the provider's own words on how many blocks it takes.
    """
    if named is not None and 0 < named < used:
        most = min(now.ceiling, named)
        return RangeSize(size=min(now.size, most), ceiling=most)
    # Of several reads under way the late ones were asked for in a size that is given up already.
    return replace(now, size=max(1, min(now.size, used // 2)), good=0)


class LogSpans:
    """What reads of sparse logs have taught, by provider; begins at :data:`SPARSE` blocks."""

    def __init__(self) -> None:
        self._sizes: dict[str | None, RangeSize] = {}

    def of(self, provider: str | None) -> int:
        """Blocks that a read may take now."""
        return self._size(provider).size

    def took(self, provider: str | None, used: int) -> None:
        """It answered a read of so many blocks."""
        self._sizes[provider] = grown(self._size(provider), used)

    def refused(self, provider: str | None, used: int, named: int | None = None) -> None:
        """So many blocks were too much for it, or too slow.

        :param named: how many it said that it takes.
        """
        self._sizes[provider] = shrunk(self._size(provider), used, named)

    def _size(self, provider: str | None) -> RangeSize:
        return self._sizes.get(provider, RangeSize(SPARSE, SPARSE))
