"""Call data and plain answers, by selector and without contract objects. Pure.

eth_abi does the encoding; selectors are computed once. A web3 contract object
would cost a hundred times as much per call and drag the provider in with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from config.units import Address, Hash32

WORD: Final = 32
_ADDRESS: Final = 20
_PADDING: Final = bytes(WORD - _ADDRESS)


@lru_cache(maxsize=256)
def selector(signature: str) -> bytes:
    """First 4 bytes of the hash, e.g. of ``transfer(address,uint256)``."""
    return bytes(keccak(text=signature)[:4])


@lru_cache(maxsize=256)
def topic(signature: str) -> Hash32:
    """Topic 0 of an event, e.g. of ``Transfer(address,address,uint256)``."""
    return Hash32(bytes(keccak(text=signature)))


@lru_cache(maxsize=256)
def _types(signature: str) -> tuple[str, ...]:
    inner = signature[signature.index("(") + 1 : -1]
    assert "(" not in inner, "tuples are not needed and not supported"
    return tuple(inner.split(",")) if inner else ()


def encode_call(signature: str, *values: object) -> bytes:
    """Selector and arguments, e.g. ``encode_call("raiseEpoch(uint64)", 2)``; addresses are bytes.

    :raises eth_abi.exceptions.EncodingError: a value does not fit its type.
    """
    return selector(signature) + bytes(encode(_types(signature), values))


def encode_account_call(signature: str, account: Address) -> bytes:
    """The same for one argument that is an address, as hundreds of a batch are asked about.

    :raises ValueError: the address has not 20 bytes.
    """
    if len(account) != _ADDRESS:
        raise ValueError(f"an address has {_ADDRESS} bytes, not {len(account)}")
    return selector(signature) + _PADDING + account


def decode_values(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """ABI-decode; addresses come back as ``0x…`` text (use :func:`as_address`).

    :raises ValueError: the data is cut off, padded wrongly, or not of these types.
    """
    try:
        return tuple(decode(list(types), data))
    except (DecodingError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"{len(data)} bytes do not decode as ({','.join(types)})") from error


def as_address(text: str) -> Address:
    """eth_abi's spelling of an address to 20 bytes."""
    return Address(bytes.fromhex(text[2:]))


def decode_uint(data: bytes) -> int:
    """The answer of a call that returns one unsigned integer.

    :raises ValueError: not at least one word; an empty answer means no code or no such function.
    """
    if len(data) < WORD:
        raise ValueError(f"{len(data)} bytes where a 32-byte word was expected")
    return int.from_bytes(data[:WORD])


def decode_bool(data: bytes) -> bool:
    """The answer of a call that returns a boolean.

    :raises ValueError: not a word, or neither 0 nor 1.
    """
    value = decode_uint(data)
    if value > 1:
        raise ValueError("a word that is neither 0 nor 1 where a boolean was expected")
    return value == 1


def decode_address(data: bytes) -> Address:
    """The answer of a call that returns one address.

    :raises ValueError: not a word, or its first 12 bytes are not zero.
    """
    value = decode_uint(data)
    if value >> 160:
        raise ValueError("a word with more than 20 bytes where an address was expected")
    return Address(value.to_bytes(20))
