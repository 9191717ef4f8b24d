"""Calls of ERC-20 tokens, and of the extras that stablecoins have. Pure.

Each ``encode_*`` gives the data of an ``eth_call`` (or of a transaction) to the
token's address; the matching ``decode_*`` reads the answer.
"""

from __future__ import annotations

from typing import Final

from chain.abi import WORD, decode_uint, decode_values, encode_account_call, encode_call
from config.units import Address, Amount

BLACKLIST_SIGNATURES: Final = ("isBlacklisted(address)", "isBlackListed(address)")
"""Circle's and Tether's spelling. A token that has neither reverts or answers nothing."""

_LONGEST_SYMBOL: Final = 64


def encode_balance_of(account: Address) -> bytes:
    return encode_account_call("balanceOf(address)", account)


def encode_decimals() -> bytes:
    return encode_call("decimals()")


def encode_symbol() -> bytes:
    return encode_call("symbol()")


def encode_transfer(to: Address, amount: Amount) -> bytes:
    return encode_call("transfer(address,uint256)", to, amount)


def encode_blacklist_probes(account: Address) -> tuple[bytes, ...]:
    """One call per spelling; the account is listed if any of them answers true (a word 1)."""
    return tuple(encode_account_call(signature, account) for signature in BLACKLIST_SIGNATURES)


def encode_paused() -> bytes:
    return encode_call("paused()")


def decode_decimals(data: bytes) -> int:
    """:raises ValueError: no answer (not a token), or more than 255."""
    value = decode_uint(data)
    if value > 255:
        raise ValueError("decimals() answered more than 255")
    return value


def decode_probe(data: bytes | None) -> bool:
    """The answer of a blacklist or pause probe; ``None`` for a call that reverted.

    A token without the function reverts, answers nothing, or lets a fallback answer: anything
    but exactly a word 1 means that the token does not say so.
    """
    return data is not None and len(data) == WORD and int.from_bytes(data) == 1


def decode_symbol(data: bytes) -> str:
    """A string, or 32 bytes padded with zeros as early tokens answer (MKR, SAI).

    Hostile text: unprintable characters are dropped and the length is bounded.

    :raises ValueError: neither of the two forms.
    """
    if len(data) == WORD:
        text = data.rstrip(b"\0").decode("utf-8", errors="replace")
    else:
        (text,) = decode_values(["string"], data)
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_SYMBOL]
