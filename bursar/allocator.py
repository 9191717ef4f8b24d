"""How this process gives memory back: settings of the C library's allocator.

Left alone, glibc keeps a heap for every thread that ever allocated (SQLite has one for each
connection), and after the first large answer of a provider it takes such blocks from these heaps
too, where what is freed between two living blocks stays. So a day's busiest minute was what
the process held from then on.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Parameters of mallopt(3)."""
_LARGE: Final = 128 * 1024
"""Bytes: glibc's own first value, which it would raise by itself as it goes."""


def keep_little() -> bool:
    """One heap for all threads, large blocks apart; ``False`` where the C library is another.

    Python allocates under its own lock, so threads do not queue for the one heap.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE))
    return all(bool(mallopt(name, value)) for name, value in wanted)
