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
_DIGIT_OF_BYTE: Final = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
_STAMP_DIGITS: Final = 10
_RANDOM_DIGITS: Final = 16
_SHAPE: Final = re.compile(r"(?:" + "|".join(PREFIXES) + r")_[0-9a-hjkmnp-tv-z]{26}")


def new_id(prefix: str, now: datetime, entropy: Entropy) -> str:
    """A fresh id; ``prefix`` is one of :data:`PREFIXES`, ``now`` aware UTC."""
    return new_ids(prefix, now, entropy, 1)[0]


def new_ids(prefix: str, now: datetime, entropy: Entropy, count: int) -> list[str]:
    """So many at once: five bits of each random byte are a digit."""
    assert prefix in PREFIXES, prefix
    start = f"{prefix}_{_stamp(now)}"
    digits = entropy.token_bytes(_RANDOM_DIGITS * count).translate(_DIGIT_OF_BYTE).decode()
    return [
        start + digits[at : at + _RANDOM_DIGITS] for at in range(0, len(digits), _RANDOM_DIGITS)
    ]


@lru_cache(maxsize=16)
def _stamp(now: datetime) -> str:
    milliseconds = int(now.timestamp() * 1000)
    shifts = range(5 * (_STAMP_DIGITS - 1), -1, -5)
    return "".join(_ALPHABET[(milliseconds >> shift) & 31] for shift in shifts)


def is_id(text: str, prefix: str) -> bool:
    """Whether ``text`` has the shape of an id with this prefix."""
    return text.startswith(prefix + "_") and _SHAPE.fullmatch(text) is not None
