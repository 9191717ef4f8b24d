"""Which key does what: the three branches, and how a configuration opens them.

=========  =====================  =========================================
branch     path                   key
=========  =====================  =========================================
deposit    m/44'/60'/0'/0/i       deposit address i; signs 7702 authorizations
sponsor    m/44'/60'/1'/0/0, 1    pay gas: sweeps, payouts; hold nothing else
treasury   m/44'/60'/2'/0/0       signs batches; holds nothing
=========  =====================  =========================================

From a keystore each branch has a seed of its own, so that the gas key's seed
tells nothing of the treasury's; from a test mnemonic all share one. With
``signer = "kms"`` the sponsors and the treasury signer are keys of AWS KMS,
on no path; only the deposit branch may come from a keystore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from config.chains import ChainSettings
from config.clock import Entropy
from config.credentials import Secrets
from config.errors import ConfigError, WalletError
from config.models import Settings
from config.units import Address, Hash32, checksum
from wallets.derivation import HARDENED, DepositDeriver
from wallets.keystore import (
    COST,
    ClearPart,
    SeedEntropies,
    create_keystore,
    draw_entropies,
    open_keystore,
    read_clear,
)
from wallets.presigned import sign_authorizations
from wallets.private import PrivateNode
from wallets.signature import Signature
from wallets.signer import LocalSigner, Signer

if TYPE_CHECKING:
    from eth_account.hdaccount.mnemonic import Mnemonic

Lane = Literal["sweeps", "payouts"]
_LANES: Final[dict[Lane, int]] = {"sweeps": 0, "payouts": 1}
DEPOSIT_PATH: Final = "44'/60'/0'/0"
SPONSOR_PATH: Final = "44'/60'/1'/0"
TREASURY_PATH: Final = "44'/60'/2'/0"


class KeyRing:
    """All signers of one installation; only settlement and the command line hold one."""

    def __init__(
        self, deposit: PrivateNode | None, sponsors: Mapping[Lane, Signer], treasury: Signer
    ) -> None:
        """:param deposit: at :data:`DEPOSIT_PATH`; ``None``: kept offline, or nowhere."""
        self._deposit = deposit
        self._sponsors = dict(sponsors)
        self._treasury = treasury
        self.deposit_xpub = None if self._deposit is None else self._deposit.xpub()

    @classmethod
    def from_seeds(cls, deposit: bytes | None, sponsor: bytes, treasury: bytes) -> KeyRing:
        """:param deposit: BIP-39 seed (64 bytes), as the other two; ``None``: kept offline."""
        sponsors = PrivateNode.from_seed(sponsor).derive(SPONSOR_PATH)
        signer = PrivateNode.from_seed(treasury).derive(TREASURY_PATH)
        return cls(
            _deposit_node(deposit),
            {
                lane: LocalSigner(sponsors.child_node(index).secret())
                for lane, index in _LANES.items()
            },
            LocalSigner(signer.child_node(0).secret()),
        )

    def __repr__(self) -> str:
        return f"KeyRing(treasury signer {checksum(self.treasury_signer().address)})"

    def treasury_signer(self) -> Signer:
        """Signs batches (EIP-712); its address is the treasury contract's signer."""
        return self._treasury

    def sponsor(self, lane: Lane) -> Signer:
        """Sends and pays for the transactions of one lane."""
        return self._sponsors[lane]

    def deposit_signer(self, index: int) -> Signer:
        """Signs for deposit address ``index``.

        :raises WalletError: the index is outside 0 … 2**31 - 1, or the keys are offline.
        """
        return LocalSigner(self._deposit_key(index))

    def presign(self, index: int, digests: Sequence[Hash32]) -> tuple[Address, list[Signature]]:
        """Deposit address ``index`` and its signatures of EIP-7702 authorizations.

        :param digests: from :func:`wallets.presigned.authorization_digest`.
        :raises WalletError: as :meth:`deposit_signer`.
        """
        return sign_authorizations(self._deposit_key(index), digests)

    def deposit_node(self) -> PrivateNode | None:
        """The deposit branch, for a ring whose other keys are elsewhere."""
        return self._deposit

    def _deposit_key(self, index: int) -> bytes:
        if self._deposit is None:
            raise WalletError("the keys of the deposit addresses are not on this machine")
        if not 0 <= index < HARDENED:
            raise WalletError(f"deposit index {index} is outside 0 … 2147483647")
        return self._deposit.child_node(index).secret()

    def clear_part(self) -> ClearPart:
        """What a keystore of this ring shows without its passphrase."""
        addresses: dict[str, Address] = {
            "sweeps": self.sponsor("sweeps").address,
            "payouts": self.sponsor("payouts").address,
            "treasury": self.treasury_signer().address,
        }
        return ClearPart(
            self.deposit_xpub, {role: checksum(address) for role, address in addresses.items()}
        )


def keyring_from_mnemonic(words: str, *, deposits_offline: bool = False) -> KeyRing:
    """All branches from one English BIP-39 phrase, without a BIP-39 passphrase.

    :param deposits_offline: leave the deposit branch out: the addresses in use are not its.
    :raises WalletError: not a valid phrase; its words are not repeated.
    """
    phrase = " ".join(words.split())
    if not _words().is_mnemonic_valid(phrase):
        raise WalletError(
            "is not a BIP-39 phrase: a word is unknown, missing, or the checksum is wrong",
            where="BURSAR_MNEMONIC",
            remedy="12 to 24 English words",
        )
    seed = _words().to_seed(phrase)
    return KeyRing.from_seeds(None if deposits_offline else seed, seed, seed)


def keyring_from_entropies(seeds: SeedEntropies) -> KeyRing:
    """Each branch from its own entropy, through BIP-39."""
    deposit = None if seeds.deposit is None else _words().to_seed(mnemonic_of(seeds.deposit))
    return KeyRing.from_seeds(
        deposit,
        *(_words().to_seed(mnemonic_of(part)) for part in (seeds.sponsor, seeds.treasury)),
    )


def mnemonic_of(entropy: bytes) -> str:
    """The words of a BIP-39 entropy, for a backup on paper."""
    return str(_words().to_mnemonic(entropy))


def new_keystore(
    settings: Settings, secrets: Secrets, entropy: Entropy, *, cost: int = COST
) -> KeyRing:
    """Draw seeds and write ``wallets.keystore``; gives the ring it opens to.

    Where deposit addresses have no keys, it holds no deposit seed.

    :raises WalletError: no passphrase, or as :func:`wallets.keystore.create_keystore`.
    """
    seeds = draw_entropies(entropy)
    if settings.wallets.deposits == "create2":
        seeds = replace(seeds, deposit=None)
    ring = keyring_from_entropies(seeds)
    create_keystore(
        settings.wallets.keystore,
        seeds,
        ring.clear_part(),
        _passphrase(secrets),
        entropy,
        cost=cost,
    )
    return ring


def offline_keyring(settings: Settings, secrets: Secrets) -> KeyRing:
    """The ring of a machine that signs and is on no network: ``BURSAR_MNEMONIC`` or the keystore.

    A phrase is taken for real chains too: what must not hold it is a daemon.

    :raises WalletError: the seed cannot be opened, or the deposit seed is not in it.
    """
    if secrets.mnemonic is not None:
        return keyring_from_mnemonic(secrets.mnemonic.get_secret_value())
    seeds, _ = open_keystore(settings.wallets.keystore, _passphrase(secrets))
    ring = keyring_from_entropies(seeds)
    if ring.deposit_xpub is None:
        raise WalletError(
            "the keystore holds no deposit seed",
            where=str(settings.wallets.keystore),
            remedy="run this where the whole keystore is",
        )
    return ring


def online_keystore(
    settings: Settings, secrets: Secrets, entropy: Entropy, path: Path, *, cost: int = COST
) -> KeyRing:
    """Write a keystore with the same sponsors and treasury signer, and no deposit seed.

    :raises WalletError: the keystore cannot be opened, or ``path`` cannot be written.
    """
    passphrase = _passphrase(secrets)
    seeds, _ = open_keystore(settings.wallets.keystore, passphrase)
    online = replace(seeds, deposit=None)
    ring = keyring_from_entropies(online)
    create_keystore(path, online, ring.clear_part(), passphrase, entropy, cost=cost)
    return ring


def open_keyring(settings: Settings, secrets: Secrets) -> KeyRing:
    """The ring that ``wallets.signer`` names; a keystore takes about half a second.

    :raises ConfigError: a secret is missing, the mnemonic is used with a chain that holds
        real money, or the AWS library is not installed.
    :raises WalletError: the keystore cannot be opened, or disagrees with ``deposit_xpub``;
        or it holds the deposit seed, which only a daemon that derives from it may;
        or KMS refuses.
    """
    wallets = settings.wallets
    offline = wallets.deposits != "hd"
    if wallets.signer == "mnemonic":
        ring = _from_test_mnemonic(settings.chains, secrets, deposits_offline=offline)
    elif wallets.signer == "kms":
        ring = _from_kms(settings, secrets, deposits_offline=offline)
    else:
        if offline and read_clear(wallets.keystore).deposit_xpub is not None:
            raise WalletError(
                f'the keystore holds the deposit seed, which "{wallets.deposits}" does not need: '
                "it must stay offline",
                where=str(wallets.keystore),
                remedy='bring the one that "bursar wallets online-keystore" writes',
            )
        ring = _from_keystore(settings, secrets)
    if wallets.deposit_xpub is not None and wallets.deposit_xpub != ring.deposit_xpub:
        raise WalletError(
            "is not the signer's: what arrives at its addresses could not be swept",
            where="wallets.deposit_xpub",
            remedy="remove it, or open the signer that it belongs to",
        )
    return ring


def kms_clear_part(settings: Settings) -> ClearPart:
    """The addresses of ``wallets.signer = "kms"``, without signing; KMS is asked for those only
    that the configuration leaves out.

    :raises ConfigError: the AWS library or the deposit xpub is missing.
    :raises WalletError: KMS refuses, or the keystore cannot be read.
    """
    from wallets.kms import kms_addresses  # as below

    assert settings.wallets.kms is not None, "the settings refuse it"
    found = kms_addresses(settings.wallets.kms)
    addresses: dict[str, Address] = {
        "sweeps": found.sponsor_sweeps,
        "payouts": found.sponsor_payouts,
        "treasury": found.treasury,
    }
    return ClearPart(
        deposit_xpub(settings) if settings.wallets.deposits == "hd" else None,
        {role: checksum(address) for role, address in addresses.items()},
    )


def deposit_xpub(settings: Settings, secrets: Secrets | None = None) -> str:
    """The xpub that deposit addresses come from.

    Without ``secrets`` no private material is touched: it is the configured
    one, or the keystore's clear part. Only with them a test mnemonic is used.

    :raises ConfigError: it is not known here.
    :raises WalletError: it is malformed, or the keystore cannot be read.
    """
    wallets = settings.wallets
    xpub: str | None = None
    if wallets.deposit_xpub is not None:
        xpub = wallets.deposit_xpub
    elif wallets.signer in {"keystore", "kms"}:
        xpub = read_clear(wallets.keystore).deposit_xpub
        if xpub is None:
            raise ConfigError(
                "the keystore holds no deposit keys",
                where=str(wallets.keystore),
                remedy='set wallets.deposits = "presigned" or "create2"',
            )
    elif wallets.signer == "mnemonic" and secrets is not None and secrets.mnemonic is not None:
        xpub = _from_test_mnemonic(settings.chains, secrets).deposit_xpub
    if xpub is None:
        raise ConfigError(
            "is needed by a role that holds no signer",
            where="wallets.deposit_xpub",
            remedy='copy it from "bursar wallets show"',
        )
    return DepositDeriver(xpub).xpub


def _from_keystore(settings: Settings, secrets: Secrets) -> KeyRing:
    seeds, clear = open_keystore(settings.wallets.keystore, _passphrase(secrets))
    ring = keyring_from_entropies(seeds)
    if ring.clear_part() != clear:
        raise WalletError(
            "the keystore's addresses are not those of its seeds",
            where=str(settings.wallets.keystore),
        )
    return ring


def _from_kms(settings: Settings, secrets: Secrets, *, deposits_offline: bool) -> KeyRing:
    """Sponsors and treasury signer from KMS; of the keystore, if any, the deposit seed alone."""
    from wallets.kms import connect, open_signers  # brings an AWS library that few have

    assert settings.wallets.kms is not None, "the settings refuse it"
    signers = open_signers(settings.wallets.kms, connect(settings.wallets.kms))
    deposit = None
    if not deposits_offline:
        deposit = _from_keystore(settings, secrets).deposit_node()
    return KeyRing(
        deposit,
        {"sweeps": signers.sponsor_sweeps, "payouts": signers.sponsor_payouts},
        signers.treasury,
    )


def _deposit_node(seed: bytes | None) -> PrivateNode | None:
    return None if seed is None else PrivateNode.from_seed(seed).derive(DEPOSIT_PATH)


def _from_test_mnemonic(
    chains: Iterable[ChainSettings], secrets: Secrets, *, deposits_offline: bool = False
) -> KeyRing:
    real = [chain.name for chain in chains if not chain.is_test]
    if real:
        raise ConfigError(
            f"a mnemonic is for test chains only, and {', '.join(real)} may hold real money",
            where="wallets.signer",
            remedy='use "keystore"',
        )
    if secrets.mnemonic is None:
        raise ConfigError(
            "is not set", where="BURSAR_MNEMONIC", remedy='wallets.signer is "mnemonic"'
        )
    words = secrets.mnemonic.get_secret_value()
    return keyring_from_mnemonic(words, deposits_offline=deposits_offline)


def _passphrase(secrets: Secrets) -> str:
    if secrets.keystore_passphrase is None:
        raise ConfigError(
            "is not set",
            where="BURSAR_KEYSTORE_PASSPHRASE",
            remedy="set it, or BURSAR_KEYSTORE_PASSPHRASE_FILE, to open the keystore",
        )
    return secrets.keystore_passphrase.get_secret_value()


def _words() -> Mnemonic:
    # Imported where words are used: eth-account is slow to load, and most commands read only.
    from eth_account.hdaccount.mnemonic import Mnemonic

    return Mnemonic()
