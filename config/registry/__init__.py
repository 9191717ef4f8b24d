"""The built-in chains and tokens: TOML files beside this module.

Each file has the keys of ``[[chains]]`` without ``rpc_urls``. An entry of
``bursar.toml`` with ``chain = "base"`` starts from the file ``base.toml``; keys
it gives override the registry's, tables key by key. Where it lists ``tokens``,
those are the tokens (what an entry leaves out is completed from the registry
by symbol); the registry's flagged tokens are watched in any case.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from config.chains import DEVELOPMENT_IDS, LOOPBACK, TEST_CHAIN_IDS


@cache
def registry() -> Mapping[str, Mapping[str, Any]]:
    """All entries by name, as plain values; read once, never changed."""
    entries: dict[str, Mapping[str, Any]] = {}
    for item in sorted(files("config.registry").iterdir(), key=lambda path: path.name):
        if item.name.endswith(".toml"):
            entry = tomllib.loads(item.read_text(encoding="utf-8"))
            entries[entry["name"]] = MappingProxyType(entry)
    return MappingProxyType(entries)


def registered_by_id(chain_id: int) -> Mapping[str, Any] | None:
    """The entry with this chain id, if there is one."""
    return next((entry for entry in registry().values() if entry["chain_id"] == chain_id), None)


def fill_in(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[int, str]]:
    """``document`` with every ``chain = "…"`` replaced by the registry's defaults.

    Values of a wrong type are passed through: refusing them is the models' work.

    :returns: the document, and the names the registry does not have by index in ``chains``.
    """
    chains = document.get("chains")
    if not isinstance(chains, list):
        return dict(document), {}
    filled: list[Any] = []
    unknown: dict[int, str] = {}
    for index, chain in enumerate(chains):
        entry = chain
        if isinstance(chain, dict):
            name = chain.get("chain")
            if name is not None and (not isinstance(name, str) or name not in registry()):
                unknown[index] = str(name)[:60]
            entry = _fill_chain(chain)
        filled.append(entry)
    return {**document, "chains": filled}, unknown


def _fill_chain(chain: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in chain.items() if key != "chain"}
    name, chain_id = chain.get("chain"), given.get("chain_id")
    entry = registry().get(name) if isinstance(name, str) else None
    if entry is None:
        test = isinstance(chain_id, int) and (
            chain_id in TEST_CHAIN_IDS
            or (chain_id in DEVELOPMENT_IDS and _is_local(given.get("rpc_urls")))
        )
        return {"is_test": True, **given} if test else given
    return {**_merge(entry, given), "tokens": _tokens(entry["tokens"], given.get("tokens"))}


def _is_local(urls: object) -> bool:
    return (
        isinstance(urls, list)
        and bool(urls)
        and all(isinstance(url, str) and urlsplit(url).hostname in LOOPBACK for url in urls)
    )


def _merge(entry: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(entry)
    for key, value in given.items():
        old = merged.get(key)
        # A finality is one thing, not a table of independent keys.
        tables = isinstance(old, dict) and isinstance(value, dict) and key != "finality"
        merged[key] = {**old, **value} if tables and old else value
    if "finality" in given and "finality_tiers" not in given:
        merged.pop("finality_tiers", None)
    return merged


def _tokens(registered: list[dict[str, Any]], given: Any) -> Any:
    if given is None:
        return registered
    if not isinstance(given, list):
        return given
    by_symbol = {token["symbol"]: token for token in registered}
    tokens = [
        {**by_symbol.get(str(token.get("symbol")), {}), **token}
        if isinstance(token, dict)
        else token
        for token in given
    ]
    taken = {
        str(token.get(key, "")).lower()
        for token in tokens
        if isinstance(token, dict)
        for key in ("symbol", "address")
    }
    flagged = [
        token
        for token in registered
        if token.get("flagged")
        and token["symbol"].lower() not in taken
        and token["address"].lower() not in taken
    ]
    return tokens + flagged
