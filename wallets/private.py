"""Private extended keys (BIP-32 CKDpriv): only keystore, keyring and signers import this."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, NoReturn

from coincurve import PrivateKey
from Crypto.Hash import RIPEMD160

from config.errors import WalletError
from wallets.base58 import encode_check
from wallets.derivation import HARDENED, XPUB_VERSION

_MASTER: Final = b"Bitcoin seed"


class PrivateNode:
    """One extended private key; its ``repr`` shows where it stands, never what it is."""

    __slots__ = ("_chain_code", "_key", "_parent", "child", "depth", "path")

    def __init__(
        self,
        key: PrivateKey,
        chain_code: bytes,
        *,
        path: str,
        child: int,
        depth: int,
        parent: bytes,
    ) -> None:
        self._key = key
        self._chain_code = chain_code
        self._parent = parent
        self.path = path
        self.child = child
        self.depth = depth

    def __repr__(self) -> str:
        return f"PrivateNode({self.path})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not to be pickled or copied")

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateNode:
        """Master key of a BIP-39 seed (64 bytes; BIP-32 takes 16 to 64)."""
        assert 16 <= len(seed) <= 64
        material = hmac.digest(_MASTER, seed, "sha512")
        key = PrivateKey(material[:32])
        return cls(key, material[32:], path="m", child=0, depth=0, parent=bytes(4))

    def derive(self, path: str) -> PrivateNode:
        """Descendant, such as ``44'/60'/0'/0`` below the master."""
        node = self
        for step in path.split("/"):
            hardened = step.endswith("'")
            node = node.child_node(int(step.rstrip("'")) + (HARDENED if hardened else 0))
        return node

    def child_node(self, index: int) -> PrivateNode:
        """Child; an index from 2**31 is hardened.

        :raises WalletError: the index has no key (chance below 2**-127), or is out of range.
        """
        if not 0 <= index < 2 * HARDENED:
            raise WalletError(f"key index {index} is out of range")
        public = self._key.public_key.format(compressed=True)
        parent = b"\0" + self._key.secret if index >= HARDENED else public
        material = hmac.digest(self._chain_code, parent + index.to_bytes(4, "big"), "sha512")
        try:
            key = self._key.add(material[:32])
        except ValueError:
            raise WalletError(f"key index {index} has no key", remedy="skip it") from None
        mark = "'" if index >= HARDENED else ""
        return PrivateNode(
            key,
            material[32:],
            path=f"{self.path}/{index % HARDENED}{mark}",
            child=index,
            depth=self.depth + 1,
            parent=_fingerprint(public),
        )

    def secret(self) -> bytes:
        """The 32 bytes themselves; hand them to a signer and keep no copy."""
        return bytes(self._key.secret)

    def xpub(self) -> str:
        """The public half as ``xpub…``."""
        return encode_check(
            XPUB_VERSION
            + bytes([self.depth])
            + self._parent
            + self.child.to_bytes(4, "big")
            + self._chain_code
            + self._key.public_key.format(compressed=True)
        )


def _fingerprint(public: bytes) -> bytes:
    """BIP-32 key identifier, first 4 bytes: RIPEMD-160 of SHA-256 of the key.

    Not from hashlib: OpenSSL 3 offers RIPEMD-160 only where its legacy provider is loaded.
    """
    return RIPEMD160.new(sha256(public).digest()).digest()[:4]
