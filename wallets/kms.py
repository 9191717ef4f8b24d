"""Keys in AWS KMS: they sign there, and no private byte of them is ever here.

KMS signs a digest as it is given (``MessageType`` DIGEST) and answers in DER,
with a high s half the time and without a parity; :class:`wallets.signer.CheckedSigner`
makes it canonical, or refuses it. Its signatures are not deterministic: what
must not change is stored before it is used, as with any signer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol

from coincurve import PublicKey
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from config.errors import ConfigError, WalletError
from config.log import get_logger
from config.models import KmsKeySettings, KmsSettings
from config.units import Address, Hash32, checksum
from wallets.derivation import public_address
from wallets.kms_errors import MALFORMED, KmsUnavailableError, in_words
from wallets.signer import CheckedSigner, Signer

KEY_SPEC: Final = "ECC_SECG_P256K1"
ALGORITHM: Final = "ECDSA_SHA_256"
_THREADS: Final = 8
"""Three keys a chain at work; more wait in line."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KmsPatience:
    """How long a call may take: three attempts of 2 + 3 seconds, and pauses of 1 and 2 at most.

    :param deadline: seconds for a call with all its attempts, credentials included.
    """

    connect: float = 2.0
    read: float = 3.0
    attempts: int = 3
    deadline: float = 15.0


class KmsClient(Protocol):
    """The two calls, as boto3 spells them; blocking, and safe to use from several threads."""

    def get_public_key(self, *, KeyId: str) -> dict[str, Any]: ...  # noqa: N803

    def sign(
        self,
        *,
        KeyId: str,  # noqa: N803
        Message: bytes,  # noqa: N803
        MessageType: str,  # noqa: N803
        SigningAlgorithm: str,  # noqa: N803
    ) -> dict[str, Any]: ...


@dataclass(frozen=True)
class KmsSigners:
    """The three keys of an installation, each with its address."""

    treasury: Signer
    sponsor_sweeps: Signer
    sponsor_payouts: Signer


@dataclass(frozen=True)
class KmsAddresses:
    """Whose signatures they give."""

    treasury: Address
    sponsor_sweeps: Address
    sponsor_payouts: Address


@dataclass
class KmsService:
    """One region's KMS; :meth:`sign` never blocks the event loop."""

    client: KmsClient = field(repr=False)
    patience: KmsPatience = KmsPatience()
    _threads: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kms")

    def address(self, key: KmsKeySettings) -> Address:
        """Of the key's public half; blocks.

        :raises WalletError: KMS refuses, it is no signing key of secp256k1, or its address is
            not the configured one.
        """
        where = place(key)
        answer = call(lambda: self.client.get_public_key(KeyId=key.key), where)
        spec = answer.get("KeySpec") or answer.get("CustomerMasterKeySpec")
        if spec != KEY_SPEC or answer.get("KeyUsage") != "SIGN_VERIFY":
            raise WalletError(
                f"is a key of {spec} for {answer.get('KeyUsage')}",
                where=where,
                remedy=f"make one with key spec {KEY_SPEC} and key usage SIGN_VERIFY",
            )
        address = _address_of(answer.get("PublicKey"), where)
        if key.address is not None and key.address != address:
            raise WalletError(
                f"its address is {checksum(address)}, not {checksum(Address(key.address))}",
                where=where,
                remedy="correct the key, or the address in [wallets.kms]; nothing was signed",
            )
        return address

    async def sign(self, key: KmsKeySettings, digest: Hash32) -> bytes:
        """r and s, 32 bytes each, of the digest itself.

        :raises WalletError: KMS refused, or was given up after :attr:`patience`.
        """
        where = place(key)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._signed, key.key, digest, where)
        try:
            async with asyncio.timeout(self.patience.deadline):
                answer = await work
        except TimeoutError:
            raise KmsUnavailableError(
                f"did not sign within {self.patience.deadline:g} s", where=where
            ) from None
        return _compact(answer.get("Signature"), where)

    def _signed(self, key_id: str, digest: Hash32, where: str) -> dict[str, Any]:
        answer: dict[str, Any] = call(
            lambda: self.client.sign(
                KeyId=key_id,
                Message=bytes(digest),
                MessageType="DIGEST",
                SigningAlgorithm=ALGORITHM,
            ),
            where,
        )
        return answer


@dataclass(frozen=True)
class _KmsKey:
    """A :class:`wallets.signer.DigestSource` for one key."""

    service: KmsService
    key: KmsKeySettings

    async def sign(self, digest: Hash32) -> bytes:
        return await self.service.sign(self.key, digest)


def connect(settings: KmsSettings, patience: KmsPatience | None = None) -> KmsService:
    """KMS with the credentials that the AWS libraries find: role, profile or environment.

    :raises ConfigError: boto3 is not installed, or no region is known.
    """
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise ConfigError(
            "needs the AWS library", where="wallets.signer", remedy='pip install "bursar[kms]"'
        ) from None
    patience = patience or KmsPatience()
    options = Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        # Throttling, time-outs and 5xx are tried again with growing, random pauses.
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=_THREADS,
        user_agent_appid="bursar",
    )

    def make() -> KmsClient:
        session = boto3.session.Session(region_name=settings.region)
        client: KmsClient = session.client("kms", config=options)
        return client

    return KmsService(call(make, "wallets.kms"), patience)


def open_signers(settings: KmsSettings, service: KmsService) -> KmsSigners:
    """The three signers, their addresses asked of KMS; blocks.

    Where KMS is out of reach the configured addresses are taken: every signature is compared
    with them before it is used.

    :raises WalletError: as :meth:`KmsService.address`; or two keys are the same.
    """
    addresses = _distinct(*(_asked(service, key) for key in _keys(settings)))

    def signer(address: Address, key: KmsKeySettings) -> Signer:
        return CheckedSigner(address, _KmsKey(service, key))

    return KmsSigners(
        signer(addresses.treasury, settings.treasury),
        signer(addresses.sponsor_sweeps, settings.sponsor_sweeps),
        signer(addresses.sponsor_payouts, settings.sponsor_payouts),
    )


def kms_addresses(settings: KmsSettings) -> KmsAddresses:
    """As configured; KMS is asked only where one of the three is not.

    :raises ConfigError: as :func:`connect`.
    :raises WalletError: as :func:`open_signers`.
    """
    given = [key.address for key in _keys(settings)]
    if None not in given:
        return _distinct(*(Address(address) for address in given if address is not None))
    service = connect(settings)
    return _distinct(*(_asked(service, key) for key in _keys(settings)))


def _keys(settings: KmsSettings) -> tuple[KmsKeySettings, KmsKeySettings, KmsKeySettings]:
    return settings.treasury, settings.sponsor_sweeps, settings.sponsor_payouts


def _asked(service: KmsService, key: KmsKeySettings) -> Address:
    try:
        return service.address(key)
    except KmsUnavailableError as error:
        if key.address is None:
            raise
        log.warning("kms_unavailable", reason=str(error))
        return Address(key.address)


def _distinct(treasury: Address, sweeps: Address, payouts: Address) -> KmsAddresses:
    if len({treasury, sweeps, payouts}) < 3:
        raise WalletError(
            "two of the three keys have the same address",
            where="wallets.kms",
            remedy="lanes would take each other's nonces: give each a key of its own",
        )
    return KmsAddresses(treasury, sweeps, payouts)


def place(key: KmsKeySettings) -> str:
    """Which key, in errors and logs; an id, an ARN or an alias is no secret."""
    return f"KMS key {key.key}"


def call(ask: Callable[[], Any], where: str) -> Any:
    """A call of the AWS library; what it raises becomes words without its own text.

    :raises KmsUnavailableError: out of reach, throttled: worth trying again.
    :raises WalletError: refused.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except (BotoCoreError, ClientError) as error:
        raise in_words(error, where) from None


def _address_of(der: object, where: str) -> Address:
    """:raises WalletError: not a point of secp256k1 as ``SubjectPublicKeyInfo`` (RFC 5480)."""
    try:
        key = load_der_public_key(der if isinstance(der, bytes) else b"")
        if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != "secp256k1":
            _malformed("public key", where)
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return public_address(PublicKey(point))
    except (ValueError, UnsupportedAlgorithm):
        _malformed("public key", where)


def _compact(der: object, where: str) -> bytes:
    """r and s of a DER ``Ecdsa-Sig-Value`` (RFC 3279), 32 bytes each."""
    try:
        r, s = decode_dss_signature(der if isinstance(der, bytes) else b"")
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    except (ValueError, OverflowError):
        _malformed("signature", where)


def _malformed(what: str, where: str) -> NoReturn:
    raise WalletError(MALFORMED.format(what), where=where, remedy="nothing was sent") from None
