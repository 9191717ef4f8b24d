"""Signatures as values: made canonical, and recovered; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey

from config.units import Address, Hash32
from wallets.derivation import public_address

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve secp256k1 (SEC 2, 2.4.1)."""


@dataclass(frozen=True)
class Signature:
    """``s`` is in the lower half, as EIP-2 asks; ``y_parity`` is 0 or 1."""

    r: int
    s: int
    y_parity: int

    def to_bytes(self) -> bytes:
        """65 bytes: r, s, and v = 27 or 28, as ``ecrecover`` takes them."""
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + bytes([27 + self.y_parity])


def recover(digest: Hash32, signature: Signature) -> Address | None:
    """Who signed; ``None`` if it is nobody's signature."""
    compact = signature.to_bytes()[:64] + bytes([signature.y_parity])
    try:
        key = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except (ValueError, RuntimeError):
        return None  # coincurve says either, by what is wrong
    return public_address(key)


def canonical(digest: Hash32, signer: Address, raw: bytes) -> Signature | None:
    """What a signer returned, as the one signature by ``signer`` that a chain takes.

    A high s is replaced by its negative. The last byte of ``raw`` is not
    trusted, and need not be there (KMS gives none): both parities are tried.

    :param raw: r and s, 32 bytes each, with or without a 65th byte.
    :returns: ``None`` if it is not a signature of ``digest`` by ``signer``.
    """
    if len(raw) not in {64, 65}:
        return None
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    if not (0 < r < ORDER and 0 < s < ORDER):
        return None
    s = min(s, ORDER - s)
    for y_parity in (0, 1):
        signature = Signature(r, s, y_parity)
        if recover(digest, signature) == signer:
            return signature
    return None
