"""How many blocks a range read may take: learned per provider. Pure.

Split on *too large* and timeouts only; grow slowly again. A limit that the
provider named is kept as a ceiling, so that it is not run into again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

FIRST: Final = 100
LARGEST: Final = 1_000
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
