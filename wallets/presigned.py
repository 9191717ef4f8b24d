"""Deposit addresses with their EIP-7702 authorizations, signed once and offline; pure.

An authorization signs (chain id, delegate, nonce) and nothing else, and a deposit
account never sends, so its nonce stays 0: what is signed today is valid when the
address is first swept, in years. The delegate can only forward to its collector.

The file is JSON lines: a header, a line per address in the order of the indexes,
and a footer with the count and the SHA-256 of all bytes before it::

    {"kind":"bursar-presigned","version":1,"first":0,"count":2,"chain_ids":[8453],
     "delegate":"0x…","code_hash":"0x…"}
    {"index":0,"address":"0x…","signatures":{"8453":{"y_parity":0,"r":"0x…","s":"0x…"}}}
    {"index":1,…}
    {"end":true,"lines":2,"sha256":"…"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO, Final

import rlp  # type: ignore[import-untyped]
from coincurve import PrivateKey
from sha3 import keccak_256

from config.errors import InvalidInputError
from config.units import Address, Hash32, checksum, from_hex, parse_address, to_hex
from wallets.derivation import HARDENED, public_address
from wallets.signature import ORDER, Signature, recover

KIND: Final = "bursar-presigned"
VERSION: Final = 1
MAX_LINE: Final = 64 * 1024
MAX_CHAINS: Final = 100
_MAGIC: Final = b"\x05"


@dataclass(frozen=True)
class Header:
    """What every line of the file is signed for.

    :param code_hash: Keccak-256 of the code that the delegate has once it is deployed.
    """

    first: int
    count: int
    chain_ids: tuple[int, ...]
    delegate: Address
    code_hash: Hash32


@dataclass(frozen=True, slots=True)
class PresignedAddress:
    """One line; ``signatures`` in the order of the header's chain ids."""

    index: int
    address: Address
    signatures: tuple[Signature, ...]


def authorization_digest(chain_id: int, delegate: Address, nonce: int = 0) -> Hash32:
    """What an EIP-7702 authorization signs: keccak(0x05 ‖ rlp([chain id, delegate, nonce])).

    The same for every account: only the keys differ.
    """
    assert chain_id > 0, "id 0 would be valid on every chain"
    return Hash32(keccak_256(_MAGIC + rlp.encode([chain_id, delegate, nonce])).digest())


def sign_authorizations(key: bytes, digests: Sequence[Hash32]) -> tuple[Address, list[Signature]]:
    """Address of a key and its signatures, deterministic (RFC 6979) and with a low s."""
    private = PrivateKey(key)
    signed = [private.sign_recoverable(digest, hasher=None) for digest in digests]
    return public_address(private.public_key), [
        Signature(int.from_bytes(s[:32], "big"), int.from_bytes(s[32:64], "big"), s[64])
        for s in signed
    ]


class PresignedWriter:
    """Writes a file line by line, in constant memory."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._header = header
        self._hash = sha256()
        self._written = 0
        self._line(
            {
                "kind": KIND,
                "version": VERSION,
                "first": header.first,
                "count": header.count,
                "chain_ids": list(header.chain_ids),
                "delegate": checksum(header.delegate),
                "code_hash": to_hex(header.code_hash),
            }
        )

    def add(self, address: Address, signatures: Sequence[Signature]) -> None:
        """The next index's line."""
        given = zip(self._header.chain_ids, signatures, strict=True)
        self._line(
            {
                "index": self._header.first + self._written,
                "address": checksum(address),
                "signatures": {
                    str(chain_id): {
                        "y_parity": s.y_parity,
                        "r": f"0x{s.r:064x}",
                        "s": f"0x{s.s:064x}",
                    }
                    for chain_id, s in given
                },
            }
        )
        self._written += 1

    def end(self) -> None:
        """The footer; a file without one is refused."""
        assert self._written == self._header.count
        self._line({"end": True, "lines": self._written, "sha256": self._hash.hexdigest()})

    def _line(self, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._file.write(line)


class PresignedReader:
    """Reads and verifies a file, in constant memory.

    :param name: of the file, for errors, which name the line too.
    :raises InvalidInputError: it is no such file.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._number = 0
        self._hash = sha256()
        self.header = self._header(self._next())

    def addresses(self) -> Iterator[PresignedAddress]:
        """Every line, its signatures recovered to its address; nothing is true before the end.

        :raises InvalidInputError: a line is wrong, missing or too many.
        """
        header = self.header
        digests = [(str(i), authorization_digest(i, header.delegate)) for i in header.chain_ids]
        for index in range(header.first, header.first + header.count):
            yield self._address(self._next(), index, digests)
        so_far = self._hash.hexdigest()
        footer = self._next()
        if footer != {"end": True, "lines": header.count, "sha256": so_far}:
            raise self._wrong("the footer does not match: the file was changed or is damaged")
        if self._file.read(1):
            raise self._wrong("something follows the footer")

    def _next(self) -> dict[str, Any]:
        line = self._file.readline(MAX_LINE + 1)
        self._number += 1
        if not line.endswith(b"\n"):
            raise self._wrong(
                "the line is too long" if len(line) > MAX_LINE else "the file is truncated here"
            )
        self._hash.update(line)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise self._wrong("is not JSON") from None
        if not isinstance(value, dict):
            raise self._wrong("is not a JSON object")
        return value

    def _header(self, value: dict[str, Any]) -> Header:
        if value.get("kind") != KIND:
            raise self._wrong("is not a file of presigned addresses")
        if value.get("version") != VERSION:
            raise self._wrong(
                f"is of version {str(value.get('version'))[:20]}, not {VERSION}",
                "use the release that wrote it",
            )
        first, count, ids = (value.get(key) for key in ("first", "count", "chain_ids"))
        if not (type(first) is int and type(count) is int and isinstance(ids, list)):
            raise self._wrong("the header is malformed")
        if not (0 < len(ids) <= MAX_CHAINS and all(_whole(i) and 0 < i < 2**53 for i in ids)):
            raise self._wrong("chain_ids is not a list of chain ids; 0 would be any chain")
        if len(set(ids)) != len(ids) or first < 0 or count < 1 or first + count > HARDENED:
            raise self._wrong("the header is malformed")
        try:
            delegate = parse_address(value["delegate"])
            code_hash = from_hex(value["code_hash"])
        except (KeyError, TypeError, ValueError):
            raise self._wrong("delegate or code_hash is malformed") from None
        if len(code_hash) != 32:
            raise self._wrong("code_hash is malformed")
        return Header(first, count, tuple(ids), delegate, Hash32(code_hash))

    def _address(
        self, value: dict[str, Any], index: int, digests: Sequence[tuple[str, Hash32]]
    ) -> PresignedAddress:
        if value.get("index") != index or not _whole(value["index"]):
            raise self._wrong(f"is not the line of index {index}")
        try:
            address = parse_address(value["address"])
            given = value["signatures"]
            # A list, not the mapping's own order: what signs for another chain is refused.
            if set(given) != {name for name, _ in digests}:
                raise self._wrong("does not hold one signature for each chain of the header")
            signatures = [_signature(given[name]) for name, _ in digests]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._wrong("the line is malformed") from None
        for (name, digest), signature in zip(digests, signatures, strict=True):
            if recover(digest, signature) != address:
                raise self._wrong(
                    f"the signature for chain id {name} is not by {checksum(address)}"
                )
        return PresignedAddress(index, address, tuple(signatures))

    def _wrong(self, what: str, remedy: str = "") -> InvalidInputError:
        where = f"{self._name}:{self._number}"
        return InvalidInputError(
            what, where=where, remedy=remedy or "nothing was imported; bring the file again"
        )


def _whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _signature(value: Mapping[str, Any]) -> Signature:
    """:raises ValueError: outside what EIP-7702 lets a chain accept."""
    r, s = (int.from_bytes(from_hex(value[key]), "big") for key in ("r", "s"))
    parity = value["y_parity"]
    if type(parity) is not int or parity not in (0, 1):
        raise ValueError("y_parity is 0 or 1")
    if not (0 < r < ORDER and 0 < s <= ORDER // 2):
        raise ValueError("r or s is out of range")
    return Signature(r, s, parity)
