"""Deposit addresses that have no key: CREATE2 (EIP-1014) of minimal proxies (EIP-1167). Pure.

``chain/contracts/DepositFactory.sol`` creates them; the salt is the derivation
index. An address follows from factory, forwarder and index, and so is the same
on every chain that has the factory at the same address.
"""

from __future__ import annotations

from typing import Final

from sha3 import keccak_256

from config.errors import WalletError
from config.units import Address, checksum
from wallets.derivation import HARDENED

_HEAD: Final = bytes.fromhex("3d602d80600a3d3981f3")
"""Returns the 45 bytes that follow it as the new contract's code."""
_BEFORE: Final = bytes.fromhex("363d3d373d3d3d363d73")
_AFTER: Final = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")


def clone_code(forwarder: Address) -> bytes:
    """The code that a deposit address has once it was created, 45 bytes."""
    return _BEFORE + forwarder + _AFTER


class CloneDeriver:
    """Addresses of one factory; safe to share."""

    def __init__(self, factory: Address, forwarder: Address) -> None:
        self.factory = factory
        self.forwarder = forwarder
        self._prefix = b"\xff" + factory
        self._code_hash = keccak_256(_HEAD + clone_code(forwarder)).digest()

    def __repr__(self) -> str:
        return f"CloneDeriver({checksum(self.factory)})"

    def address(self, index: int) -> Address:
        """Address of ``index``, 0 … 2**31 - 1.

        :raises WalletError: the index is outside that range, which is that of the other modes.
        """
        if not 0 <= index < HARDENED:
            raise WalletError(f"deposit index {index} is outside 0 … 2147483647")
        material = self._prefix + index.to_bytes(32, "big") + self._code_hash
        return Address(keccak_256(material).digest()[12:])

    def addresses(self, start: int, count: int) -> list[Address]:
        """``count`` addresses from index ``start``.

        :raises WalletError: as :meth:`address`.
        """
        return [self.address(index) for index in range(start, start + count)]
