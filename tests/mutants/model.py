"""What a mutant is: changes of the product's text, and the tests that must notice them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Change:
    """``old`` stands exactly once in ``file`` and becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault that somebody could write.

    :param name: what is wrong, as the decisions and issues call it.
    :param tests: arguments for pytest; one failure kills the mutant.
    """

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


class StaleMutantError(Exception):
    """The code that a mutant changes is not there any more: bring the mutant up to date."""


def apply(mutant: Mutant, root: Path) -> dict[Path, str]:
    """Put it into the tree under ``root``; returns the former texts, to put back.

    :raises StaleMutantError: a change does not fit exactly once; nothing was written.
    """
    former = {root / c.file: (root / c.file).read_text() for c in mutant.changes}
    texts = dict(former)
    for change in mutant.changes:
        path = root / change.file
        found = texts[path].count(change.old)
        if found != 1:
            raise StaleMutantError(f"{mutant.name}: found {found} times in {change.file}")
        texts[path] = texts[path].replace(change.old, change.new)
    for path, text in texts.items():
        compile(text, str(path), "exec")  # a mutant that cannot be imported proves nothing
    for path, text in texts.items():
        path.write_text(text)
    return former
