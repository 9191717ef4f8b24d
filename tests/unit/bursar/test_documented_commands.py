"""Whoever follows README, docs and runbooks word by word finds every command there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from bursar.cli import build_app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_NAMED = re.compile(
    r"(?:`|^)(?:[A-Z_]+=\S+ )*bursar ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", re.MULTILINE
)


def commands() -> dict[str, set[str]]:
    """Those of a group by its name; none for a plain command."""
    top = get_command(build_app()).commands  # type: ignore[attr-defined]
    return {name: set(getattr(found, "commands", ())) for name, found in top.items()}


def test_docs__every_command_that_they_name__is_there() -> None:
    known, seen = commands(), 0
    for page in PAGES:
        for command, second in _NAMED.findall(page.read_text()):
            where = f"{page.name}: bursar {command} {second}"
            assert command in known, where
            assert not (known[command] and second) or second in known[command], where
            seen += 1
    assert seen > 50, "the pattern still finds them"


@pytest.mark.parametrize("name", sorted(commands()))
def test_cli_page__says_something_of_each_command(name: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert f"`{name} " in page or f"`{name}`" in page
