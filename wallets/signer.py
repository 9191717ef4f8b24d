"""Signing: what settlement asks for, and a local key that does it.

Whatever makes the signatures (a key in memory, a key service), nothing leaves
:class:`CheckedSigner` before the signer's address was recovered from it: a
signer that answers with somebody else's signature, or for another digest,
would otherwise cost a nonce or a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from coincurve import PrivateKey
from rlp.exceptions import RLPException  # type: ignore[import-untyped]
from sha3 import keccak_256

from config.errors import WalletError
from config.units import Address, Hash32, checksum, parse_address, to_hex
from wallets.derivation import public_address
from wallets.signature import Signature, canonical

if TYPE_CHECKING:
    from eth_account.typed_transactions.typed_transaction import TypedTransaction

_TYPES: Final = (2, 4)
_REQUIRED: Final = ("chainId", "nonce", "gas", "maxFeePerGas", "maxPriorityFeePerGas", "to")


def _typed_transaction() -> type[TypedTransaction]:
    from eth_account.typed_transactions.typed_transaction import TypedTransaction  # as above

    return TypedTransaction


@dataclass(frozen=True)
class SignedTransaction:
    """Ready to be persisted, then sent."""

    raw: bytes
    """The type byte and the RLP of the signed fields (EIP-2718)."""
    hash: Hash32


@dataclass(frozen=True)
class Authorization:
    """A signed EIP-7702 authorization: ``authority`` runs the code of ``delegate``."""

    authority: Address
    chain_id: int
    delegate: Address
    nonce: int
    signature: Signature

    def as_item(self) -> dict[str, Any]:
        """One item of ``authorizationList`` as eth-account and the RPC take it."""
        return {
            "chainId": self.chain_id,
            "address": checksum(self.delegate),
            "nonce": self.nonce,
            "yParity": self.signature.y_parity,
            "r": self.signature.r,
            "s": self.signature.s,
        }


class DigestSource(Protocol):
    """Something that holds a key: memory, or a key service."""

    async def sign(self, digest: Hash32) -> bytes:
        """r and s, 32 bytes each; a 65th byte is allowed and ignored.

        :raises WalletError: it cannot sign now.
        """
        ...


class Signer(Protocol):
    """What settlement signs with; one address each."""

    @property
    def address(self) -> Address: ...

    async def sign_digest(self, digest: Hash32) -> bytes:
        """65 bytes: r, s, v (27 or 28), s in the lower half.

        :raises WalletError: the signer failed, or its signature is not its own.
        """
        ...

    async def sign_transaction(self, tx: Mapping[str, Any]) -> SignedTransaction:
        """Sign a transaction of type 2 (EIP-1559) or 4 (EIP-7702).

        :param tx: keys as eth-account's, ``type`` and ``chainId`` included; ``to`` may be bytes.
        :raises WalletError: a field is missing or malformed, or as :meth:`sign_digest`.
        """
        ...

    async def sign_authorization(
        self, chain_id: int, delegate: Address, nonce: int
    ) -> Authorization:
        """Let this account run the code at ``delegate`` on one chain.

        :param nonce: the account's next; one more if it sends the transaction itself.
        :raises WalletError: chain id 0, which every chain accepts, or as :meth:`sign_digest`.
        """
        ...


class CheckedSigner:
    """A :class:`Signer` over any :class:`DigestSource`; trusts none of them."""

    def __init__(self, address: Address, source: DigestSource) -> None:
        self._address = address
        self._source = source

    def __repr__(self) -> str:
        return f"{type(self).__name__}({checksum(self._address)})"

    @property
    def address(self) -> Address:
        return self._address

    async def sign_digest(self, digest: Hash32) -> bytes:
        return (await self._sign(digest)).to_bytes()

    async def sign_transaction(self, tx: Mapping[str, Any]) -> SignedTransaction:
        fields = _fields(tx, self._address, self._where())
        signature = await self._sign(_signing_hash(fields, self._where()))
        signed = {**fields, "v": signature.y_parity, "r": signature.r, "s": signature.s}
        raw = bytes(_typed_transaction().from_dict(signed).encode())
        return SignedTransaction(raw, Hash32(keccak_256(raw).digest()))

    async def sign_authorization(
        self, chain_id: int, delegate: Address, nonce: int
    ) -> Authorization:
        if chain_id <= 0:
            raise WalletError(
                f"an authorization for chain id {chain_id} is refused",
                where=self._where(),
                remedy="0 would be valid on every chain",
            )
        if len(delegate) != 20 or not 0 <= nonce < 2**64:
            raise WalletError("the authorization's fields are malformed", where=self._where())
        # Imported where something is signed: eth-account pulls in a BLS library, a third of a
        # second of every command that only reads.
        from eth_account.typed_transactions.set_code_transaction import Authorization as Unsigned

        digest = Unsigned(chain_id, bytes(delegate), nonce).hash()
        signature = await self._sign(Hash32(bytes(digest)))
        return Authorization(self._address, chain_id, delegate, nonce, signature)

    async def _sign(self, digest: Hash32) -> Signature:
        if len(digest) != 32:
            raise WalletError(f"a digest has 32 bytes, not {len(digest)}", where=self._where())
        raw = await self._source.sign(digest)
        signature = canonical(digest, self._address, raw)
        if signature is None:
            raise WalletError(
                "the signer's answer is not a signature of this digest by this address",
                where=self._where(),
                remedy="check which key the signer uses; nothing was sent",
            )
        return signature

    def _where(self) -> str:
        return f"signer {checksum(self._address)}"


class LocalSigner(CheckedSigner):
    """A key in this process's memory."""

    def __init__(self, key: bytes) -> None:
        """:raises WalletError: not a private key (32 bytes, 1 … order - 1)."""
        source = _MemoryKey(key)
        super().__init__(source.address, source)


class _MemoryKey:
    """The only object that holds the key; kept out of ``repr``, pickles and copies."""

    __slots__ = ("_key", "address")

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise WalletError("a private key has 32 bytes")
        try:
            self._key = PrivateKey(key)
        except ValueError:
            raise WalletError("the number is not a private key of secp256k1") from None
        self.address = public_address(self._key.public_key)

    def __repr__(self) -> str:
        return f"_MemoryKey({checksum(self.address)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not to be pickled or copied")

    async def sign(self, digest: Hash32) -> bytes:
        # Deterministic (RFC 6979): the same digest always gives the same bytes, so that a
        # crash between signing and persisting cannot leave two versions of a transaction.
        return self._key.sign_recoverable(digest, hasher=None)


def _fields(tx: Mapping[str, Any], sender: Address, where: str) -> dict[str, Any]:
    """The transaction as eth-account takes it; ``from`` must be the signer, and is left out."""
    missing = [name for name in _REQUIRED if tx.get(name) is None]
    if missing:
        raise WalletError(f"the transaction lacks {', '.join(missing)}", where=where)
    if tx.get("type") not in {*_TYPES, *(hex(kind) for kind in _TYPES)}:
        raise WalletError(f"transactions of type {tx.get('type')} are not signed", where=where)
    if tx["chainId"] in {0, "0x0"}:
        raise WalletError("chain id 0 is not signed", where=where)
    if {"v", "r", "s"} & tx.keys():
        raise WalletError("the transaction is signed already", where=where)
    fields = {
        key: to_hex(value) if isinstance(value, bytes) else value for key, value in tx.items()
    }
    if str(fields.pop("from", to_hex(sender))).lower() != to_hex(sender):
        raise WalletError("the transaction is from another account", where=where)
    try:
        # eth-account wants EIP-55; a wrong checksum is a wrong digit, not a matter of spelling.
        fields["to"] = checksum(parse_address(fields["to"]))
    except (TypeError, ValueError) as error:
        raise WalletError(f"the transaction is malformed: {error}", where=where) from None
    if "authorizationList" in fields:
        fields["authorizationList"] = [
            item.as_item() if isinstance(item, Authorization) else item
            for item in fields["authorizationList"]
        ]
    return fields


def _signing_hash(fields: dict[str, Any], where: str) -> Hash32:
    try:
        return Hash32(bytes(_typed_transaction().from_dict(fields).hash()))
    except (TypeError, ValueError, RLPException) as error:
        raise WalletError(f"the transaction is malformed: {error}", where=where) from None
