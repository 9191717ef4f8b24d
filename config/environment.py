"""Environment variables as overrides of configuration keys.

``BURSAR_HTTP__PORT=9000`` is ``http.port``; lists are indexed by number. What a
variable means is decided by its target: text stays text, anything else is read
as a TOML value. :func:`apply` therefore starts with texts, and
:func:`reread` turns those that the check refused into TOML values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

from config.credentials import SECRET_NAMES, read_secret_file
from config.errors import ConfigError
from config.problems import InvalidConfigError

PREFIX: Final = "BURSAR_"
Path = tuple[str | int, ...]
_NOT_PATHS: Final = frozenset(
    {"BURSAR_CONFIG"}
    | {f"BURSAR_{name.upper()}" for name in SECRET_NAMES}
    | {f"BURSAR_{name.upper()}_FILE" for name in SECRET_NAMES}
)
_IGNORED: Final = "BURSAR_TEST_"
"""Belongs to test harnesses, not to the daemon that they start."""
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*?", re.ASCII)
_KEEPS_CASE: Final = (
    ("settlement", "daily_limit"),
    ("settlement", "merchant_daily_limit"),
    ("settlement", "payout_limit"),
    ("settlement", "transaction_limit"),
    ("security", "approve_payouts_above"),
)
"""Below these stand token symbols, not names of ours; below a chain's prices, currencies."""


@dataclass(frozen=True)
class Override:
    """One variable: the key it sets and the value."""

    variable: str
    path: Path
    value: Any


@dataclass(frozen=True)
class Refusal:
    """One refused key."""

    path: Path
    error: ConfigError
    by_parser: bool
    """The key takes text, and this text was not right (not: the value had a wrong type)."""


def overrides(environ: Mapping[str, str]) -> tuple[Override, ...]:
    """All overrides in ``environ``, shorter paths first.

    :raises InvalidConfigError: names that are no path, or files that cannot be read.
    """
    found: list[Override] = []
    errors: list[ConfigError] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in _NOT_PATHS:
            continue
        if variable.startswith(_IGNORED):
            continue
        try:
            found.append(_override(variable, environ[variable]))
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise InvalidConfigError(errors)
    return tuple(sorted(found, key=lambda item: len(item.path)))


def _override(variable: str, value: str) -> Override:
    name = variable.removeprefix(PREFIX)
    if name.endswith("_FILE"):
        name, value = name.removesuffix("_FILE"), read_secret_file(variable, value)
    parts = name.split("__")
    if not all(_PART.fullmatch(part) for part in parts):
        raise ConfigError(
            "is not a configuration key",
            where=variable,
            remedy="BURSAR_ and the key's path joined by two underscores, like BURSAR_HTTP__PORT",
        )
    path: list[str | int] = []
    for part in parts:
        if part.isdigit():
            path.append(int(part[:6]))
        else:
            keeps = tuple(path) in _KEEPS_CASE or path[2:] == ["native_price"]
            path.append(part if keeps else part.lower())
    return Override(variable, tuple(path), value)


def apply(document: Mapping[str, Any], items: Iterable[Override]) -> dict[str, Any]:
    """A copy of ``document`` with every override set.

    :raises InvalidConfigError: an index beyond the end of its list, or a name inside a list.
    """
    result: dict[str, Any] = deepcopy(dict(document))
    errors: list[ConfigError] = []
    for item in items:
        try:
            _set(result, item)
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise InvalidConfigError(errors)
    return result


def reread(item: Override, refused: Iterable[Refusal]) -> Override:
    """The same override as a TOML value, if its text was refused and it is one.

    A text that the key's own parser refused stays text unless it is a list or
    a table: an address with a wrong digit is a number to TOML, and the complaint
    would be about numbers.
    """
    mine = [refusal for refusal in refused if refusal.path[: len(item.path)] == item.path]
    value = toml_value(item.value) if mine and isinstance(item.value, str) else None
    if value is None or isinstance(value, str):
        return item
    parsed = any(refusal.by_parser and refusal.path == item.path for refusal in mine)
    if parsed and not isinstance(value, list | dict):
        return item
    return replace(item, value=value)


def toml_value(text: str) -> Any:
    """``text`` as the right-hand side of ``key =``; ``None`` if it is not exactly one value."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return parsed["value"] if len(parsed) == 1 else None


def _set(document: dict[str, Any], item: Override) -> None:
    node: Any = document  # a dict, or a list that part is a checked index of
    for depth, part in enumerate(item.path):
        last = depth == len(item.path) - 1
        _check_step(node, part, item)
        if last:
            node[part] = item.value
            return
        wanted = list if isinstance(item.path[depth + 1], int) else dict
        missing = isinstance(node, dict) and part not in node
        child = None if missing else node[part]
        if isinstance(child, str):
            child = toml_value(child)
        if not isinstance(child, list | dict):
            child = wanted()
        node[part] = child
        node = child


def _check_step(node: list[Any] | dict[str, Any], part: str | int, item: Override) -> None:
    """Make room for one more at the end of a list; refuse any other step that leads nowhere."""
    if isinstance(node, dict):
        if isinstance(part, int) and node:
            raise ConfigError("has a number where a name is needed", where=item.variable)
        return
    if not isinstance(part, int):
        raise ConfigError(
            f"names {part!r} inside a list", where=item.variable, remedy="lists take numbers from 0"
        )
    if part > len(node):
        raise ConfigError(
            f"index {part} is beyond the end of a list of {len(node)}", where=item.variable
        )
    if part == len(node):
        node.append({})
