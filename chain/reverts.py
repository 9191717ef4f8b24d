"""Revert data to one readable line. Pure.

The bytes are chosen by whoever wrote the contract: whatever they hold, the
result is bounded, printable and never an exception.
"""

from __future__ import annotations

from typing import Final

from chain.abi import WORD, decode_values, selector
from config.units import checksum

_ERROR: Final = selector("Error(string)")
_PANIC: Final = selector("Panic(uint256)")
_LONGEST_TEXT: Final = 160

_PANICS: Final = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "enum out of range",
    0x32: "index out of range",
    0x41: "out of memory",
}
"""Solidity's panic codes that a token can plausibly raise."""

_KNOWN: Final = {
    selector(signature): signature
    for signature in (
        # our own contracts
        "AlreadyExecuted(uint64,uint256)",
        "BadSignature()",
        "IndexTooHigh()",
        "LengthsDiffer()",
        "MalformedEntries()",
        "NoTokenCode(address)",
        "NotCollector()",
        "NotCreated(uint256)",
        "NotEnoughGas()",
        "NothingAnnounced()",
        "NotOwner()",
        "NotPendingOwner()",
        "NotSweeper()",
        "SinkNotReady(uint256)",
        "TransferRefused()",
        "WithdrawalFailed(bytes)",
        "WrongEpoch(uint64)",
        "ZeroAddress()",
        # tokens: ERC-6093, and OpenZeppelin's Pausable and Ownable
        "ERC20InsufficientBalance(address,uint256,uint256)",
        "ERC20InvalidSender(address)",
        "ERC20InvalidReceiver(address)",
        "ERC20InsufficientAllowance(address,uint256,uint256)",
        "EnforcedPause()",
        "OwnableUnauthorizedAccount(address)",
    )
}


def error_name(data: bytes) -> str | None:
    """The name of a known custom error (``AlreadyExecuted``), else ``None``."""
    signature = _KNOWN.get(data[:4])
    return None if signature is None else signature[: signature.index("(")]


def describe_revert(data: bytes) -> str:
    """One line for a person: ``Pausable: paused``, ``NotEnoughGas()``, ``WrongEpoch(3)``, …

    :param data: what the call answered; may be cut off (the contracts keep 196 bytes).
    """
    head, body = data[:4], data[4:]
    if not data:
        return "failed without a reason (no code, not delegated, or out of gas)"
    if head == _ERROR:
        return _string(body) or "reverted with an empty message"
    if head == _PANIC and len(body) >= WORD:
        code = int.from_bytes(body[:WORD])
        return f"panic: {_PANICS.get(code, f'code {code:#x}')}"
    signature = _KNOWN.get(head)
    if signature is not None:
        return _custom(signature, body)
    if len(data) == WORD:
        return f"answered {_short(data)} where success was expected"
    return f"reverted with {_short(data)}"


def _string(body: bytes) -> str:
    """The text of ``Error(string)``, also where the data was cut in the middle of it."""
    length = int.from_bytes(body[WORD : 2 * WORD])
    text = body[2 * WORD : 2 * WORD + min(length, len(body))].decode("utf-8", errors="replace")
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_TEXT].strip()


def _custom(signature: str, body: bytes) -> str:
    name, _, rest = signature.partition("(")
    types = rest[:-1].split(",") if rest != ")" else []
    try:
        values = decode_values(types, body)
    except ValueError:
        return signature
    return f"{name}({', '.join(_value(value) for value in values)})"


def _value(value: object) -> str:
    if isinstance(value, bytes):
        # One level only: a reason within a reason within … may be as deep as its author likes.
        nested = value[:4] in _KNOWN
        return _short(value) if nested else describe_revert(value)
    text = str(value)
    return checksum(bytes.fromhex(text[2:])) if text.startswith("0x") else text


def _short(data: bytes) -> str:
    return "0x" + data[:36].hex() + ("…" if len(data) > 36 else "")
