"""Loading the configuration: file, environment, registry, checks.

:func:`load_settings` is the only part that reads a file; everything it decides
with is a value. Modules that take settings import the types from here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from config.chains import ChainSettings, FeeCap, Finality, FinalityTier, TokenSettings
from config.checks import check_document, check_settings
from config.credentials import Secrets, load_secrets
from config.environment import Override, Refusal, apply, overrides, reread
from config.errors import ConfigError
from config.models import (
    DatabaseSettings,
    HttpSettings,
    InvoiceSettings,
    LogSettings,
    RateLimit,
    SecuritySettings,
    Settings,
    SettlementSettings,
    Tolerance,
    WalletSettings,
)
from config.problems import InvalidConfigError
from config.registry import fill_in
from config.rendering import render

__all__ = [
    "ChainSettings",
    "DatabaseSettings",
    "FeeCap",
    "Finality",
    "FinalityTier",
    "HttpSettings",
    "InvoiceSettings",
    "LogSettings",
    "RateLimit",
    "Secrets",
    "SecuritySettings",
    "Settings",
    "SettlementSettings",
    "TokenSettings",
    "Tolerance",
    "WalletSettings",
    "load_secrets",
    "load_settings",
    "parse_settings",
]

DEFAULT_PATH: Final = Path("bursar.toml")
_MAX_BYTES: Final = 4 * 1024 * 1024


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration from ``path``, else ``BURSAR_CONFIG``, else ``./bursar.toml``.

    Without any of them the environment alone may hold it.

    :raises ConfigError: one line; :class:`InvalidConfigError`: several, all at once.
    """
    items = overrides(environ)
    chosen = path or (Path(environ["BURSAR_CONFIG"]) if environ.get("BURSAR_CONFIG") else None)
    if chosen is None and not DEFAULT_PATH.exists():
        if not items:
            raise ConfigError(
                "no configuration found",
                where=str(DEFAULT_PATH),
                remedy='run "bursar init", or name a file with --config or BURSAR_CONFIG',
            )
        return parse_settings({}, items, source="environment")
    file = chosen or DEFAULT_PATH
    return parse_settings(read_toml(file), items, source=str(file))


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values.

    :raises ConfigError: missing, unreadable, too large, or not TOML (with line and column).
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("does not exist", where=where, remedy='run "bursar init"') from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=where) from None
    if len(data) > _MAX_BYTES:
        raise ConfigError("is larger than 4 MiB", where=where)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=where) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}", where=where) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=where) from None


def parse_settings(
    document: Mapping[str, Any],
    items: tuple[Override, ...] = (),
    *,
    source: str = "bursar.toml",
    offline: bool = False,
) -> Settings:
    """Checked settings from plain values and overrides; reads no file but the registry's.

    :param offline: for a machine that only signs: no chain need be configured.
    :raises InvalidConfigError: every problem that was found.
    """
    check_document(document, source)
    settings, refused = _validate(document, items, source)
    if settings is None:
        # An override is text until its target turns out not to be text.
        changed = tuple(reread(item, refused) for item in items)
        settings, refused = _validate(document, changed, source)
    if settings is None:
        raise InvalidConfigError([refusal.error for refusal in refused])
    problems = [] if offline else check_settings(settings, source)
    if problems:
        raise InvalidConfigError(problems)
    return settings


def _validate(
    document: Mapping[str, Any], items: tuple[Override, ...], source: str
) -> tuple[Settings | None, tuple[Refusal, ...]]:
    filled, unknown = fill_in(apply(document, items))
    try:
        settings = Settings.model_validate(filled)
    except ValidationError as error:
        return None, render(error, unknown, items, source)
    return (None, render(None, unknown, items, source)) if unknown else (settings, ())
