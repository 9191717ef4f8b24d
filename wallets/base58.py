"""Base58Check, the text form of extended keys (BIP-32, "Serialization format")."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {char: value for value, char in enumerate(_ALPHABET)}
_MAX_LENGTH: Final = 200


def encode_check(payload: bytes) -> str:
    """Payload and its 4-byte double-SHA-256 checksum as base 58."""
    data = payload + _checksum(payload)
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def decode_check(text: str) -> bytes:
    """The payload; the text is not repeated in the error, it may be a key.

    :raises ValueError: a character outside the alphabet, or a wrong checksum.
    """
    if len(text) > _MAX_LENGTH or any(char not in _DIGITS for char in text):
        raise ValueError("not base 58 text")
    number = 0
    for char in text:
        number = number * 58 + _DIGITS[char]
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    payload, checksum = data[:-4], data[-4:]
    if len(data) < 5 or checksum != _checksum(payload):
        raise ValueError("the checksum is wrong: a character was mistyped or lost")
    return payload


def _checksum(payload: bytes) -> bytes:
    return sha256(sha256(payload).digest()).digest()[:4]
