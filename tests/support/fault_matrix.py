"""Which tests hold which row of the fault matrix: ``docs/faults.md``, from the tests' names.

``python -m tests.support.fault_matrix`` writes the tables of the page anew and keeps what
people wrote between them. A test belongs to the rows that its name begins with:
``test_f05_f08_…`` to both.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "faults.md"
ROWS: Final = tuple(f"f{number:02}" for number in range(1, 33))
LAYERS: Final = ("unit", "property", "ledger", "simulation", "chain", "system")
"""Folders of ``tests/``, from the pure to the whole process."""
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_PREFIX: Final = re.compile(r"test((?:_f\d\d)+)_")
_HEADING: Final = re.compile(r"^## (f\d\d) ", re.MULTILINE)
_NAMED: Final = re.compile(r"`(test_\w+)`")
_LINE: Final = re.compile(r"^\| (?:\w+) \| `(tests/[\w/]+\.py)` \| (.*) \|$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class FaultTest:
    """One test function: its layer's place, file and name."""

    layer: int
    file: str
    name: str

    @property
    def rows(self) -> list[str]:
        """``f05``, …; none for a test that is named after no row."""
        found = _PREFIX.match(self.name)
        return [] if found is None else re.findall(r"f\d\d", found[1])


def collect(root: Path = ROOT) -> list[FaultTest]:
    """Every test function under ``tests/``, read without importing anything."""
    return sorted(_collect(root))


def _collect(root: Path) -> Iterator[FaultTest]:
    for file in (root / "tests").rglob("test_*.py"):
        path = file.relative_to(root)
        layer = path.parts[1] if path.parts[1] in LAYERS else "unit"
        for node in ast.parse(file.read_text()).body:
            name = node.name if isinstance(node, _FUNCTIONS) else ""
            if name.startswith("test_"):
                yield FaultTest(LAYERS.index(layer), path.as_posix(), name)


def named(page: str) -> set[str]:
    """Every test that the page names, in tables and in prose."""
    return set(_NAMED.findall(page))


def placed(page: str) -> set[tuple[str, str]]:
    """(file, test) of every line of the page's tables."""
    return {(file, name) for file, cell in _LINE.findall(page) for name in _NAMED.findall(cell)}


def sections(page: str) -> dict[str, str]:
    """Row → its text, from its heading to the next."""
    parts = _HEADING.split(page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(row: str, tests: list[FaultTest]) -> str:
    """The lines of one row's table, a file each."""
    by_file: dict[tuple[int, str], list[str]] = {}
    for test in tests:
        if row in test.rows:
            by_file.setdefault((test.layer, test.file), []).append(test.name)
    lines = [
        f"| {LAYERS[layer]} | `{file}` | " + "<br>".join(f"`{name}`" for name in names) + " |"
        for (layer, file), names in sorted(by_file.items())
    ]
    return "\n".join(["| layer | file | tests |", "|---|---|---|", *lines])


def rewrite(page: str, tests: list[FaultTest]) -> str:
    """The page with every row's table as the tests are now."""
    out, row = [], None
    for line in page.splitlines():
        heading = _HEADING.match(line + " ")
        row = heading[1] if heading else row
        if line.startswith("| layer |") and row is not None:
            out += table(row, tests).splitlines()
        elif not (row is not None and line.startswith("|")):
            out.append(line)
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    PAGE.write_text(rewrite(PAGE.read_text(), collect()))
