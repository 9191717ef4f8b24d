"""Checks across keys: duplicates, secrets in the file, limits on tokens that exist nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from config.chains import TEST_CHAIN_IDS, ChainSettings
from config.credentials import SECRET_NAMES
from config.errors import ConfigError
from config.models import Settings
from config.money import parse_amount
from config.problems import InvalidConfigError, nearest
from config.registry import registered_by_id
from config.units import checksum

T = TypeVar("T")
_LIMITS: Final = ("daily_limit", "merchant_daily_limit", "payout_limit", "transaction_limit")


def check_document(document: Mapping[str, Any], source: str) -> None:
    """Refuse secrets in the file.

    :raises InvalidConfigError: naming the key, never the value.
    """
    errors = [
        ConfigError(
            "is a secret and must not stand in the file",
            where=f"{source}: {key}",
            remedy=f"set BURSAR_{name.upper()} or BURSAR_{name.upper()}_FILE",
        )
        for key, name in _secret_keys(document)
    ]
    if errors:
        raise InvalidConfigError(errors)


def _secret_keys(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, value in document.items():
        if key in SECRET_NAMES:
            yield key, key
        elif isinstance(value, dict):
            yield from ((f"{key}.{inner}", inner) for inner in value if inner in SECRET_NAMES)


def check_settings(settings: Settings, source: str) -> list[ConfigError]:
    """What no single key can tell; empty if all is well."""
    errors: list[ConfigError] = []
    if not settings.chains:
        errors.append(
            ConfigError(
                "no chain is configured",
                where=f"{source}: chains",
                remedy='add [[chains]] with chain = "base" and rpc_urls',
            )
        )
    errors += _reuse_errors(settings, f"{source}: invoices.reuse_addresses_after")
    errors += _duplicates(settings.chains, lambda chain: chain.name, "chain", f"{source}: chains")
    errors += _duplicates(
        settings.chains, lambda chain: chain.chain_id, "chain_id", f"{source}: chains"
    )
    for index, chain in enumerate(settings.chains):
        errors += _chain_errors(chain, f"{source}: chains[{index}]")
    errors += _limit_errors(settings, source)
    return errors


def _chain_errors(chain: ChainSettings, where: str) -> list[ConfigError]:
    errors = _duplicates(chain.tokens, lambda token: token.symbol, "token", f"{where}.tokens")
    errors += _duplicates(
        chain.tokens, lambda token: checksum(token.address), "token address", f"{where}.tokens"
    )
    errors += _duplicates(chain.rpc_urls, lambda url: url, None, f"{where}.rpc_urls")
    entry = registered_by_id(chain.chain_id)
    known_test = chain.chain_id in TEST_CHAIN_IDS
    if chain.is_test and not known_test and entry is not None and not entry.get("is_test", False):
        errors.append(
            ConfigError(
                f"chain {chain.chain_id} holds real money and is not a test chain",
                where=f"{where}.is_test",
                remedy="remove is_test",
            )
        )
    return errors


def _reuse_errors(settings: Settings, where: str) -> list[ConfigError]:
    rest = settings.invoices.reuse
    if rest is None:
        return []
    errors = []
    if rest < timedelta(hours=1):
        errors.append(ConfigError('must be at least "1h", or "0s" for never', where=where))
    if settings.wallets.deposits != "hd":
        errors.append(ConfigError('needs wallets.deposits = "hd"', where=where))
    return errors


def _limit_errors(settings: Settings, source: str) -> list[ConfigError]:
    symbols = {token.symbol for chain in settings.chains for token in chain.tokens}
    return [
        ConfigError(
            f"no configured chain has a token {symbol!r}",
            where=f"{source}: {key}",
            remedy=nearest(symbol, symbols),
        )
        for key, limits in _limits(settings)
        for symbol in limits
        if symbol not in symbols
    ] + _too_fine(settings, source)


def _limits(settings: Settings) -> list[tuple[str, Mapping[str, str]]]:
    """What is given by token symbol: a misspelt one would limit nothing and say nothing."""
    limits = [(f"settlement.{key}", getattr(settings.settlement, key)) for key in _LIMITS]
    return [*limits, ("security.approve_payouts_above", settings.security.approve_payouts_above)]


def _too_fine(settings: Settings, source: str) -> list[ConfigError]:
    """Limits with more decimals than their token has."""
    tokens = [token for chain in settings.chains for token in chain.tokens]
    floor = settings.settlement.unusual_outflow.floor
    given = [("settlement.unusual_outflow.floor", token, floor) for token in tokens]
    for key, limits in _limits(settings):
        given += [(key, token, limits[token.symbol]) for token in tokens if token.symbol in limits]
    errors = []
    for key, token, text in given:
        try:
            parse_amount(text, token.decimals)
        except ValueError as error:
            where = f"{source}: {key}"
            errors.append(ConfigError(f"{error} of {token.symbol}", where=where))
    return errors


def _duplicates(
    items: Sequence[T], key: Callable[[T], object], what: str | None, where: str
) -> list[ConfigError]:
    """:param what: how to name the value; ``None`` if it must not be shown."""
    first: dict[object, int] = {}
    errors: list[ConfigError] = []
    for index, item in enumerate(items):
        value = key(item)
        earlier = first.setdefault(value, index)
        if earlier != index:
            named = f"{what} {value}" if what else "the same value"
            errors.append(
                ConfigError(f"{named} stands twice, at {earlier} and {index}", where=where)
            )
    return errors
