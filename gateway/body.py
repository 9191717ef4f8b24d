"""Bodies from strangers: bytes to plain JSON values, or a problem; pure.

Refused before anything is built from it: more than :data:`MAX_DEPTH` levels,
NUL characters and lone surrogates (databases and terminals choke on them),
numbers that are no numbers, and names that occur twice (two readers of such a
document see two different requests).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from gateway.problems import Code, ProblemError, invalid

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 16
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_UNSAFE: Final = re.compile("[\x00\ud800-\udfff]")


def parse_json(raw: bytes) -> Any:
    """The value of a body.

    :raises ProblemError: not JSON, too deep, or text that cannot be kept.
    """
    if depth_of(raw) > MAX_DEPTH:
        raise _malformed(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)[:200]) from None
    _check(value, "")
    return value


def depth_of(raw: bytes) -> int:
    """Deepest nesting of brackets outside strings; cheap, and right for all valid JSON."""
    depth = deepest = 0
    for match in _BRACKETS.finditer(_STRINGS.sub(b"", raw)):
        depth += 1 if match.group() in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def is_safe_text(text: str) -> bool:
    """Whether text can be kept: no NUL, no half of a surrogate pair."""
    return _UNSAFE.search(text) is None


def _malformed(why: str) -> ProblemError:
    return ProblemError(Code.MALFORMED_JSON, f"the body cannot be read: {why}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check(value: Any, path: str) -> None:
    if isinstance(value, str):
        if not is_safe_text(value):
            raise invalid(path or "body", "holds a NUL character or half of a surrogate pair")
    elif isinstance(value, float):
        if value in {float("inf"), float("-inf")}:
            raise invalid(path or "body", "is a number beyond all bounds")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}.{index}" if path else str(index))
    elif isinstance(value, dict):
        for name, item in value.items():
            shown = name[:100].encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")
            here = f"{path}.{shown}" if path else shown
            if not is_safe_text(name):
                raise invalid(here, "holds a NUL character or half of a surrogate pair")
            _check(item, here)
