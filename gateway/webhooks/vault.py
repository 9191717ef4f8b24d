"""Webhook secrets at rest: AES-256-GCM, bound to the endpoint that they belong to.

A dump of the database alone lets nobody sign in our name. The key comes from
``BURSAR_DATA_KEY``, else from a file beside the database that only its owner
may read; whoever restores the database needs it too.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.clock import Entropy
from config.errors import ConfigError
from config.settings import Secrets
from ledger.store import sqlite_path

KEY_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix of all such secrets, not one of them
_SECRET_BYTES: Final = 24
"""Standard Webhooks: 24 to 64 random bytes."""
_NONCE_BYTES: Final = 12
_VERSION: Final = "v1."
_SHORTEST: Final = 16
_FILE: Final = "bursar.data-key"


class Vault:
    """Encrypts and decrypts with one data key; safe to share."""

    def __init__(self, data_key: bytes) -> None:
        assert len(data_key) == KEY_BYTES
        self._cipher = AESGCM(data_key)

    def __repr__(self) -> str:
        return "Vault(…)"

    def seal(self, secret: str, owner: str, entropy: Entropy) -> str:
        """Ciphertext as text; opens for this ``owner`` (an endpoint's id) only."""
        nonce = entropy.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), owner.encode())
        return _VERSION + base64.b64encode(nonce + sealed).decode("ascii")

    def open(self, sealed: str, owner: str) -> str:
        """The secret.

        :raises ConfigError: sealed under another data key.
        """
        try:
            raw = base64.b64decode(sealed.removeprefix(_VERSION), validate=True)
            plain = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode())
        except (ValueError, InvalidTag):
            raise ConfigError(
                "a webhook secret was encrypted with another data key",
                where=owner,
                remedy="give the BURSAR_DATA_KEY (or key file) of before, or rotate the secret",
            ) from None
        return plain.decode()

    def opens(self, sealed: str, owner: str) -> bool:
        """Whether :meth:`open` gives the secret."""
        try:
            self.open(sealed, owner)
        except ConfigError:
            return False
        return True


def new_secret(entropy: Entropy) -> str:
    """A fresh signing secret, ``whsec_`` and base64."""
    random = entropy.token_bytes(_SECRET_BYTES)
    return SECRET_PREFIX + base64.b64encode(random).decode("ascii")


def load_data_key(secrets: Secrets, database_url: str, entropy: Entropy) -> bytes:
    """The data key: ``BURSAR_DATA_KEY``, else the key file, made on first use.

    :raises ConfigError: too short, unreadable, or readable by others.
    """
    if secrets.data_key is not None:
        return _stretched(secrets.data_key.get_secret_value().strip())
    path = key_file(database_url)
    try:
        _create_once(path, entropy)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError("may be read by others", where=str(path), remedy=f"chmod 600 {path}")
        return _stretched(path.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the data key file cannot be used: {error}",
            where=str(path),
            remedy="see to its directory, or set BURSAR_DATA_KEY",
        ) from None


def key_file(database_url: str) -> Path:
    """Where the key file is: beside a SQLite file, else in the working directory."""
    database = sqlite_path(database_url)
    return Path(_FILE) if database is None else Path(f"{database}.data-key")


def _create_once(path: Path, entropy: Entropy) -> None:
    """Make the file whole or not at all: a crash leaves a stray temporary name behind.

    Linking, unlike renaming, never replaces a key that another process has just made.
    """
    if path.exists():
        return
    random = entropy.token_bytes(KEY_BYTES)
    draft = path.with_name(f"{path.name}.{entropy.token_bytes(6).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, base64.b64encode(random))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _stretched(text: str) -> bytes:
    if len(text) < _SHORTEST:
        raise ConfigError(
            f"is shorter than {_SHORTEST} characters",
            where="BURSAR_DATA_KEY",
            remedy="make one with: openssl rand -base64 32",
        )
    kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"bursar webhook secrets v1")
    return kdf.derive(text.encode())
