"""A small machine that carries out calls of the contracts in :mod:`tests.simulation.chain.code`.

It is no EVM: contracts are Python, storage is one dictionary, gas is a sum of
round numbers. What it does keep to the letter is what Bursar relies on: status,
return and revert data, logs and their order, balances, nonces, delegations
(EIP-7702), and that whatever reverts leaves nothing behind. A test holds it
against a real node on thousands of random transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.units import Address
from wallets.create2 import clone_code

Slots = dict[tuple[Any, ...], int]
DELEGATION = bytes.fromhex("ef0100")
NOBODY = bytes(20)


@dataclass(frozen=True, slots=True)
class RawLog:
    """A log without its place."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Revert(Exception):  # noqa: N818 - the machine's word for it
    """Ends a call and takes back what it did."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data.hex())
        self.data = data


@dataclass(frozen=True, slots=True)
class Frame:
    """What a contract knows of its call. ``me`` is the account whose storage and money it uses."""

    me: bytes
    caller: bytes
    value: int
    data: bytes


class Contract(Protocol):
    """Code; shared by all blocks, its storage is the machine's."""

    def run(self, vm: Machine, frame: Frame) -> bytes: ...


@dataclass
class Machine:
    """Storage as of some block, with an undo log; throw it away after a call that only asks."""

    slots: Slots
    code: Mapping[bytes, Contract]
    chain_id: int
    timestamp: int
    gas_limit: int = 30_000_000
    gas: int = 0
    logs: list[RawLog] = field(default_factory=list)
    undo: list[tuple[tuple[Any, ...], int | None]] = field(default_factory=list)

    def get(self, *key: Any) -> int:
        return self.slots.get(key, 0)

    def put(self, value: int, *key: Any) -> None:
        self.undo.append((key, self.slots.get(key)))
        self.slots[key] = value

    def add(self, amount: int, *key: Any) -> None:
        self.put(self.get(*key) + amount, *key)

    def log(self, address: bytes, topics: tuple[bytes, ...], data: bytes) -> None:
        self.gas += 375 * (1 + len(topics)) + 8 * len(data)
        self.logs.append(RawLog(address, topics, data))

    def mark(self) -> tuple[int, int]:
        return len(self.undo), len(self.logs)

    def back_to(self, mark: tuple[int, int]) -> None:
        undo, logs = mark
        while len(self.undo) > undo:
            key, value = self.undo.pop()
            if value is None:
                del self.slots[key]
            else:
                self.slots[key] = value
        del self.logs[logs:]

    def gas_left(self) -> int:
        return self.gas_limit - self.gas

    def code_of(self, account: bytes) -> Contract | None:
        """What runs when the account is called: its own code, or what it delegates to."""
        found = self.code.get(account)
        if found is not None:
            return found
        runs = self.get("clone", account) or self.get("delegate", account)
        return self.code.get(runs.to_bytes(20)) if runs else None

    def shown_code(self, account: bytes) -> bytes:
        """``eth_getCode``: mostly the bytes of a contract do not matter, only that there are some."""
        if account in self.code:
            return getattr(self.code[account], "runtime", b"") or b"\x60\x01"
        clone = self.get("clone", account)
        if clone:
            return clone_code(Address(clone.to_bytes(20)))
        delegate = self.get("delegate", account)
        return DELEGATION + delegate.to_bytes(20) if delegate else b""

    def call(self, caller: bytes, to: bytes, value: int, data: bytes) -> tuple[bool, bytes]:
        """(success, answer or revert data)."""
        mark = self.mark()
        self.gas += 2_600
        try:
            if value:
                if self.get("wei", caller) < value:
                    return False, b""
                self.add(-value, "wei", caller)
                self.add(value, "wei", to)
            code = self.code_of(to)
            if code is None:
                return True, b""
            return True, code.run(self, Frame(to, caller, value, data))
        except Revert as revert:
            self.back_to(mark)
            return False, revert.data
