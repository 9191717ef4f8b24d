"""Secrets: from the environment or a file it names, never from ``bursar.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, SecretStr

from config.errors import ConfigError

SECRET_NAMES: Final = (
    "admin_key",
    "approver_key",
    "mnemonic",
    "keystore_passphrase",
    "data_key",
)


class Secrets(BaseModel):
    """What must not be seen; ``repr`` and ``str`` show stars.

    Fields are ``None`` where neither the variable nor its ``_FILE`` is set.
    Read one with ``.get_secret_value()`` where it is used, and keep no copy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    admin_key: SecretStr | None = None
    approver_key: SecretStr | None = None
    mnemonic: SecretStr | None = None
    keystore_passphrase: SecretStr | None = None
    data_key: SecretStr | None = None


def load_secrets(environ: Mapping[str, str]) -> Secrets:
    """``BURSAR_ADMIN_KEY`` or ``BURSAR_ADMIN_KEY_FILE``, and so on.

    :raises ConfigError: both are set, the value is empty, or the file cannot be read.
    """
    values = {name: _secret(name, environ) for name in SECRET_NAMES}
    return Secrets(**values)


def _secret(name: str, environ: Mapping[str, str]) -> SecretStr | None:
    variable = f"BURSAR_{name.upper()}"
    direct, path = environ.get(variable), environ.get(f"{variable}_FILE")
    if direct is not None and path is not None:
        raise ConfigError(
            f"{variable} and {variable}_FILE are both set",
            where="environment",
            remedy="keep one of them",
        )
    if path is not None:
        direct = read_secret_file(f"{variable}_FILE", path)
    if direct is None:
        return None
    if not direct.strip():
        raise ConfigError("is empty", where=variable, remedy="set it or remove it")
    return SecretStr(direct)


def read_secret_file(variable: str, path: str) -> str:
    """Content of a file named by the environment, without the line end.

    :raises ConfigError: it cannot be read, or is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ConfigError(f"cannot read {path}: {reason}", where=variable) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", where=variable) from None
