"""Units that must not be confused: each chain quantity has its own type.

Addresses and hashes travel as raw bytes, so that two spellings of one address
cannot exist; text forms are made only at the edges (API, logs, configuration).
Amounts are integers in base units; no float exists anywhere on their path.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NewType

from sha3 import keccak_256

Address = NewType("Address", bytes)
"""20 raw bytes."""
Hash32 = NewType("Hash32", bytes)
"""32 raw bytes: block hash, transaction hash, content hash."""
BlockNumber = NewType("BlockNumber", int)
Amount = NewType("Amount", int)
"""Base units of a token (or wei), 0 … 2**256 - 1."""
Nonce = NewType("Nonce", int)
ChainName = NewType("ChainName", str)
"""Name of a configured chain, e.g. ``base``."""
TokenSymbol = NewType("TokenSymbol", str)

MAX_AMOUNT: Final = 2**256 - 1
ZERO_ADDRESS: Final = Address(bytes(20))

_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def parse_address(text: str) -> Address:
    """``0x…`` to 20 bytes; mixed case must pass its EIP-55 checksum.

    :raises ValueError: not an address, or the checksum is wrong.
    """
    if not _HEX_ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not an address (0x and 40 hexadecimal digits)")
    digits = text[2:]
    mixed = digits != digits.lower() and digits != digits.upper()
    if mixed and checksum(bytes.fromhex(digits)) != text:
        raise ValueError(f"{text} fails its EIP-55 checksum: a digit or a letter's case is wrong")
    return Address(bytes.fromhex(digits))


_CASE_BIT: Final = b"\x20"
_LETTERS: Final = bytes.maketrans(b"0123456789abcdef", bytes(10) + 6 * _CASE_BIT)
_EIGHT_OR_MORE: Final = bytes.maketrans(b"0123456789abcdef", bytes(8) + 8 * _CASE_BIT)


@lru_cache(maxsize=8192)
def checksum(address: bytes) -> str:
    """20 bytes to EIP-55 text: a letter is a capital where the digest has a digit of 8 or more."""
    if len(address) != 20:
        raise ValueError(f"an address has 20 bytes, not {len(address)}")
    digits = address.hex().encode()
    digest = keccak_256(digits).hexdigest()[:40].encode()
    # Capitals and small letters differ in one bit: forty digits as one number, in one go.
    capitals = _number(digits.translate(_LETTERS)) & _number(digest.translate(_EIGHT_OR_MORE))
    return "0x" + (_number(digits) ^ capitals).to_bytes(40, "big").decode()


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def to_hex(data: bytes) -> str:
    """Bytes to ``0x`` and lower-case hexadecimal digits."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """``0x…`` to bytes.

    :raises ValueError: no ``0x`` in front, an odd number of digits, or not hexadecimal.
    """
    if text[:2] != "0x":
        raise ValueError(f"{text[:20]!r} does not start with 0x")
    data = bytes.fromhex(text[2:])
    if len(text) != 2 + 2 * len(data):  # fromhex() skips white space
        raise ValueError(f"{text[:20]!r} has white space between its digits")
    return data
