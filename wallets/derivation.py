"""Deposit addresses from the extended public key: no private key is in reach here.

The xpub is that of m/44'/60'/0'/0; deposit address *i* is its child *i*, not
hardened (BIP-32 CKDpub). Other depths are refused: their children would be
addresses that the signer, which follows the same path, never looks at.
"""

from __future__ import annotations

import hmac
from typing import Final

from coincurve import PublicKey
from sha3 import keccak_256

from config.errors import WalletError
from config.units import Address
from wallets.base58 import decode_check

XPUB_VERSION: Final = bytes.fromhex("0488b21e")
XPRV_VERSION: Final = bytes.fromhex("0488ade4")
DEPTH: Final = 4
HARDENED: Final = 2**31
_LENGTH: Final = 78


class DepositDeriver:
    """Derives about 30,000 addresses a second; safe to share, holds no state but the key.

    :raises WalletError: not the xpub of m/44'/60'/0'/0.
    """

    def __init__(self, xpub: str) -> None:
        self.xpub = xpub
        self._chain_code, self._key = _parse(xpub)
        self._prefix = self._key.format(compressed=True)

    def __repr__(self) -> str:
        return f"DepositDeriver({self.xpub[:12]}…)"

    def address(self, index: int) -> Address:
        """Address of child ``index``, 0 … 2**31 - 1.

        :raises WalletError: the index is outside that range.
        """
        if not 0 <= index < HARDENED:
            raise WalletError(f"deposit index {index} is outside 0 … 2147483647")
        material = hmac.digest(self._chain_code, self._prefix + index.to_bytes(4, "big"), "sha512")
        try:
            child = self._key.add(material[:32])
        except ValueError:
            # BIP-32: such an index has no key (chance below 2**-127); the caller takes the next.
            raise WalletError(f"deposit index {index} has no key", remedy="skip it") from None
        return public_address(child)

    def addresses(self, start: int, count: int) -> list[Address]:
        """``count`` addresses from index ``start``.

        :raises WalletError: as :meth:`address`.
        """
        return [self.address(index) for index in range(start, start + count)]


def public_address(key: PublicKey) -> Address:
    """Last 20 bytes of the Keccak-256 of the uncompressed point (Yellow Paper, appendix F)."""
    return Address(keccak_256(key.format(compressed=False)[1:]).digest()[12:])


def _parse(xpub: str) -> tuple[bytes, PublicKey]:
    """Chain code and key."""
    where = "deposit xpub"
    try:
        payload = decode_check(xpub)
    except ValueError as error:
        raise WalletError(f"cannot be read: {error}", where=where) from None
    version, depth = payload[:4], payload[4:5]
    if version == XPRV_VERSION:
        raise WalletError(
            "is a private key", where=where, remedy="give the xpub, and treat the xprv as leaked"
        )
    if version != XPUB_VERSION or len(payload) != _LENGTH:
        raise WalletError("is not an extended public key (xpub…)", where=where)
    child = int.from_bytes(payload[9:13], "big")
    if depth[0] != DEPTH or child != 0:
        raise WalletError(
            f"is of depth {depth[0]}, child {child & (HARDENED - 1)}",
            where=where,
            remedy="export the xpub of m/44'/60'/0'/0 (depth 4, child 0)",
        )
    try:
        return payload[13:45], PublicKey(payload[45:])
    except ValueError:
        raise WalletError("holds no point of the curve", where=where) from None
