"""The committed compiler output of the helper contracts and test tokens.

``chain/contracts/build.mjs`` writes the files, a test builds again and compares
every byte; running needs no compiler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from eth_abi.abi import encode

from config.units import from_hex

_WORD: Final = 32


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    :param bytecode: creation code, without constructor arguments.
    :param runtime: code that a deployment leaves on chain, zero where immutables go.
    :param immutables: (offset, length) of each place in ``runtime`` that the constructor fills.
    """

    contract: str
    abi: Sequence[Mapping[str, Any]] = field(repr=False)
    bytecode: bytes = field(repr=False)
    runtime: bytes = field(repr=False)
    immutables: tuple[tuple[int, int], ...] = ()

    def runtime_with(self, immutable: bytes = b"") -> bytes:
        """The runtime with every immutable place filled by one value, left-padded to a word.

        Enough for our contracts: forwarder and factory have one immutable, the others none.
        """
        code = bytearray(self.runtime)
        for offset, length in self.immutables:
            assert length == _WORD, "an immutable is always one word"
            code[offset : offset + length] = immutable.rjust(_WORD, b"\0")
        return bytes(code)

    def creation(self, *arguments: object) -> bytes:
        """Data of the transaction that creates it: the bytecode and its encoded arguments."""
        inputs = next((item["inputs"] for item in self.abi if item["type"] == "constructor"), ())
        return self.bytecode + bytes(encode([entry["type"] for entry in inputs], arguments))


def load_artifact(contract: str) -> Artifact:
    """The artifact of a contract by its Solidity name, e.g. ``Treasury`` or ``UsdcLike``.

    :raises FileNotFoundError: no such artifact was committed: a bug, not a user's error.
    """
    text = (files("chain") / "artifacts" / f"{contract}.json").read_text("utf-8")
    raw = json.loads(text)
    return Artifact(
        contract=raw["contract"],
        abi=raw["abi"],
        bytecode=from_hex(raw["bytecode"]),
        runtime=from_hex(raw["runtime"]),
        immutables=tuple((start, length) for start, length in raw["immutables"]),
    )
