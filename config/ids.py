"""Prefixed, time-ordered object ids: ``inv_01j…``.

The body is a ULID (48 bits of milliseconds, 80 random bits) in lower-case
Crockford base 32, so that ids sort by creation time and primary-key inserts
stay local in the index (https://github.com/ulid/spec).
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from config.clock import Entropy

PREFIXES: Final = ("inv", "pay", "po", "mer", "evt", "we", "pd", "key", "hold", "run", "ref", "del")
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_SHIFTS: Final = range(120, -1, -10)
_SHAPE: Final = re.compile(r"(?:" + "|".join(PREFIXES) + r")_[0-9a-hjkmnp-tv-z]{26}")


@lru_cache(maxsize=16)
def _stamp(now: datetime) -> int:
    return int(now.timestamp() * 1000) << 80


def new_id(prefix: str, now: datetime, entropy: Entropy) -> str:
    """A fresh id; ``prefix`` is one of :data:`PREFIXES`, ``now`` aware UTC."""
    assert prefix in PREFIXES, prefix
    number = _stamp(now) | int.from_bytes(entropy.token_bytes(10), "big")
    return f"{prefix}_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])


def is_id(text: str, prefix: str) -> bool:
    """Whether ``text`` has the shape of an id with this prefix."""
    return text.startswith(prefix + "_") and _SHAPE.fullmatch(text) is not None
