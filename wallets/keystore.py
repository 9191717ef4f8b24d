"""The keystore file: three independent seeds, encrypted; the deposit xpub in the clear.

Version 1 is JSON: a clear part (what it is, the deposit xpub, the addresses,
the parameters of the key derivation) and AES-256-GCM over the three BIP-39
entropies under a scrypt key. The clear part is the cipher's associated data:
changing a character of it makes opening fail. Who only reads the xpub cannot
notice such a change, so whoever can write the file can redirect new deposits;
settlement, which opens it, would refuse to start.

Version 2 is the same without the deposit seed and its xpub: what a daemon holds
whose deposit addresses were presigned offline, or have no keys.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from config.clock import Entropy
from config.errors import WalletError

KIND: Final = "bursar-keystore"
VERSION: Final = 1
VERSION_ONLINE: Final = 2
SEEDS: Final = ("deposit", "sponsor", "treasury")
ENTROPY_BYTES: Final = 32
COST: Final = 2**17
"""scrypt N; with r = 8 one try takes 128 MiB and about half a second."""
_MAX_COST: Final = 2**20
_BLOCK: Final = 8
_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class SeedEntropies:
    """BIP-39 entropies, 32 bytes each, drawn independently: a leak of one tells nothing of others.

    Each is 24 words to a person who backs it up (:func:`wallets.keyring.mnemonic_of`).
    """

    deposit: bytes | None = field(repr=False)
    """``None`` where the deposit keys are kept offline."""
    sponsor: bytes = field(repr=False)
    treasury: bytes = field(repr=False)


@dataclass(frozen=True)
class ClearPart:
    """What can be read without the passphrase."""

    deposit_xpub: str | None
    """``None`` where the deposit keys are kept offline."""
    addresses: Mapping[str, str]
    """EIP-55 by role: ``sweeps``, ``payouts``, ``treasury``."""


def draw_entropies(entropy: Entropy) -> SeedEntropies:
    """Three fresh entropies."""
    return SeedEntropies(*(entropy.token_bytes(ENTROPY_BYTES) for _ in SEEDS))


def create_keystore(
    path: Path,
    seeds: SeedEntropies,
    clear: ClearPart,
    passphrase: str,
    entropy: Entropy,
    *,
    cost: int = COST,
) -> None:
    """Write a new file, mode 0600; all of it or nothing, never over an existing one.

    :raises WalletError: the passphrase is empty, the file exists, or cannot be written.
    """
    if not passphrase:
        raise WalletError(
            "the passphrase is empty", where=str(path), remedy="set BURSAR_KEYSTORE_PASSPHRASE"
        )
    document = _seal(seeds, clear, passphrase, entropy, cost)
    _write_new(path, (json.dumps(document, indent=2) + "\n").encode())


def read_clear(path: Path) -> ClearPart:
    """The clear part; needs no passphrase and touches no private material.

    :raises WalletError: missing, unreadable, truncated, or of another version.
    """
    document = _read(path)
    return ClearPart(document["deposit_xpub"], dict(document["addresses"]))


def open_keystore(path: Path, passphrase: str) -> tuple[SeedEntropies, ClearPart]:
    """Decrypt the seeds; takes about half a second.

    :raises WalletError: as :func:`read_clear`, or the passphrase is wrong, or a byte was changed.
    """
    document = _read(path)
    cipher = document["cipher"]
    try:
        key = _stretch(passphrase, document["kdf"])
        secret = AESGCM(key).decrypt(
            bytes.fromhex(cipher["nonce"]),
            bytes.fromhex(cipher["ciphertext"]),
            _associated(document),
        )
    except InvalidTag:
        raise WalletError(
            "the passphrase is wrong, or the file was changed",
            where=str(path),
            remedy="check BURSAR_KEYSTORE_PASSPHRASE; restore the file from its backup",
        ) from None
    except (ValueError, MemoryError):
        raise _damaged(path) from None
    online = document["version"] == VERSION_ONLINE
    if len(secret) != ENTROPY_BYTES * (len(SEEDS) - online):
        raise _damaged(path)
    parts = [secret[at : at + ENTROPY_BYTES] for at in range(0, len(secret), ENTROPY_BYTES)]
    seeds = SeedEntropies(None, *parts) if online else SeedEntropies(*parts)
    return seeds, ClearPart(document["deposit_xpub"], dict(document["addresses"]))


def _seal(
    seeds: SeedEntropies, clear: ClearPart, passphrase: str, entropy: Entropy, cost: int
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION if seeds.deposit is not None else VERSION_ONLINE,
        "deposit_xpub": clear.deposit_xpub,
        "addresses": dict(clear.addresses),
        "kdf": {
            "name": "scrypt",
            "n": cost,
            "r": _BLOCK,
            "p": 1,
            "salt": entropy.token_bytes(32).hex(),
        },
    }
    nonce = entropy.token_bytes(12)
    secret = (seeds.deposit or b"") + seeds.sponsor + seeds.treasury
    key = _stretch(passphrase, document["kdf"])
    ciphertext = AESGCM(key).encrypt(nonce, secret, _associated(document))
    document["cipher"] = {
        "name": "aes-256-gcm",
        "nonce": nonce.hex(),
        "ciphertext": ciphertext.hex(),
    }
    return document


def _associated(document: Mapping[str, Any]) -> bytes:
    clear = {key: value for key, value in document.items() if key != "cipher"}
    return json.dumps(clear, sort_keys=True, separators=(",", ":")).encode()


def _stretch(passphrase: str, kdf: Mapping[str, Any]) -> bytes:
    cost, block, lanes = kdf["n"], kdf["r"], kdf["p"]
    # A file with huge parameters would take all memory before it is known to be wrong.
    if not (2 <= cost <= _MAX_COST and block == _BLOCK and lanes == 1):
        raise ValueError("scrypt parameters out of range")
    salt = bytes.fromhex(kdf["salt"])
    return Scrypt(salt=salt, length=32, n=cost, r=block, p=lanes).derive(passphrase.encode())


def _read(path: Path) -> dict[str, Any]:
    where = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise WalletError(
            "the keystore does not exist",
            where=where,
            remedy='run "bursar init", or set wallets.keystore',
        ) from None
    except OSError as error:
        raise WalletError(f"the keystore cannot be read: {error.strerror}", where=where) from None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise WalletError("is not a keystore of Bursar", where=where)
    if document.get("version") not in (VERSION, VERSION_ONLINE):
        raise WalletError(
            f"is a keystore of version {document.get('version')}, not {VERSION}",
            where=where,
            remedy="use the release that wrote it",
        )
    if not _well_formed(document):
        raise _damaged(path)
    return document


def _well_formed(document: dict[str, Any]) -> bool:
    kdf, cipher, addresses = (document.get(key) for key in ("kdf", "cipher", "addresses"))
    if not (isinstance(kdf, dict) and isinstance(cipher, dict) and isinstance(addresses, dict)):
        return False
    xpub = document.get("deposit_xpub")
    if (xpub is None) != (document["version"] == VERSION_ONLINE):
        return False
    texts = [xpub or "", kdf.get("salt"), *addresses.values()]
    texts += [cipher.get("nonce"), cipher.get("ciphertext")]
    numbers = [kdf.get("n"), kdf.get("r"), kdf.get("p")]
    names = (kdf.get("name"), cipher.get("name"))
    return (
        names == ("scrypt", "aes-256-gcm")
        and all(isinstance(text, str) for text in texts)
        and all(type(number) is int for number in numbers)
    )


def _damaged(path: Path) -> WalletError:
    return WalletError(
        "the keystore is truncated or damaged", where=str(path), remedy="restore it from its backup"
    )


def _write_new(path: Path, data: bytes) -> None:
    """A crash before the link leaves a stray temporary file, after it the whole keystore."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, refuses to replace: funds hang on the old file.
        os.link(temporary, path)
        _sync_directory(path.parent)
    except FileExistsError:
        raise WalletError(
            "a keystore exists here already and is not overwritten",
            where=str(path),
            remedy="move it away first, if its funds are gone",
        ) from None
    except OSError as error:
        raise WalletError(
            f"the keystore cannot be written: {error.strerror}", where=str(path)
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
