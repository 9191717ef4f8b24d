"""Refused values as sentences: what, where, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from config.environment import Override, Path, Refusal
from config.errors import ConfigError
from config.models import Settings
from config.problems import nearest
from config.registry import registry

_REGISTRY_KEY: Final = "chain"
"""Accepted in ``[[chains]]`` beside the model's own keys."""
_WORDS: Final = {
    "int_type": "must be a whole number, like 3",
    "int_from_float": "must be a whole number, like 3",
    "string_type": 'must be text in quotes, like "…"',
    "bool_type": "must be true or false",
    "tuple_type": "must be a list in [ ]",
    "list_type": "must be a list in [ ]",
    "dict_type": "must be a table in { }",
    "model_type": "must be a table in { }",
    "path_type": 'must be a path in quotes, like "keystore.json"',
    "missing": "is missing",
}


def render(
    error: ValidationError | None,
    unknown: Mapping[int, str],
    items: tuple[Override, ...],
    source: str,
) -> tuple[Refusal, ...]:
    """One refusal per key, in the order of the file; values are not repeated here.

    :param unknown: names in ``chains[i].chain`` that the registry does not have; what
        such a chain lacks as a consequence is left out.
    """
    found: dict[Path, Refusal] = {}
    for index, name in unknown.items():
        path: Path = ("chains", index, _REGISTRY_KEY)
        problem = ConfigError(
            f"{name!r} is not in the registry",
            where=where(path, items, source),
            remedy=nearest(name, registry()),
        )
        found[path] = Refusal(path, problem, by_parser=True)
    for detail in error.errors(include_input=False, include_url=False) if error else ():
        path = _path(detail["loc"])
        if path in found or (detail["type"] == "missing" and path[1:2] and path[1] in unknown):
            continue  # a union's second branch, or a consequence
        one = _one(detail, path, where(path, items, source))
        found[path] = Refusal(path, one, by_parser=detail["type"] == "value_error")
    below = {path[:-1] for path in found}
    return tuple(refusal for path, refusal in found.items() if path not in below)


def where(path: Path, items: tuple[Override, ...], source: str) -> str:
    """The variable that set the key, or the file and the key: ``bursar.toml: chains[0].name``."""
    above = [item for item in items if path[: len(item.path)] == item.path]
    below = [item for item in items if item.path[: len(path)] == path]
    if above:
        return max(above, key=lambda item: len(item.path)).variable
    return below[0].variable if below else f"{source}: {dotted(path)}"


def dotted(path: Path) -> str:
    """``("chains", 0, "name")`` as ``chains[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def known_keys(path: Path) -> tuple[str, ...]:
    """Keys of the table at ``path``; empty where any key is allowed."""
    model: type[BaseModel] | None = Settings
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = _model(field.annotation) if field else None
    if model is None:
        return ()
    extra = (_REGISTRY_KEY,) if path[:1] == ("chains",) and len(path) == 2 else ()
    return (*model.model_fields, *extra)


def _one(detail: Any, path: Path, place: str) -> ConfigError:
    kind, message = detail["type"], detail["msg"]
    if kind == "extra_forbidden":
        return ConfigError(
            f"unknown key {str(path[-1])[:60]!r}",
            where=place,
            remedy=nearest(str(path[-1]), known_keys(path[:-1])),
        )
    if kind == "missing":
        return ConfigError(_WORDS[kind], where=place, remedy="add it")
    if kind == "value_error":
        return ConfigError(str(detail["ctx"]["error"]), where=place)
    text = _WORDS.get(kind) or message.replace("Input should be", "must be")
    return ConfigError(text, where=place)


def _path(loc: Path) -> Path:
    """Pydantic's location without the names of union branches it appends."""
    path: list[str | int] = []
    for part in loc:
        known = known_keys(tuple(path))
        if isinstance(part, int) or not path or part in known or _is_open(path):
            path.append(part)
        elif known and len(path) == len(loc) - 1:
            path.append(part)  # an unknown key of a table
    return tuple(path)


def _is_open(path: list[str | int]) -> bool:
    return tuple(path) == ("settlement", "daily_limit")


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        model = _model(part)
        if model is not None:
            return model
    return None
