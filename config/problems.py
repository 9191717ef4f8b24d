"""Configuration problems: all of them at once, one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from config.errors import ConfigError


class InvalidConfigError(ConfigError):
    """Several problems of one configuration; ``str()`` has a line for each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        assert errors, "raise this only for a problem that exists"
        self.errors = tuple(errors)
        super().__init__("; ".join(error.what for error in self.errors))

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def nearest(word: str, known: Iterable[str]) -> str:
    """Remedy for an unknown word: the nearest known one, or all of them."""
    names = sorted(set(known))
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    return "known: " + ", ".join(names) if names else ""
