"""``python -m tests.mutants [--only GROUP_OR_PART_OF_A_NAME …]``: which test kills which mutant."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.model import Mutant, apply
from tests.mutants.registry import GROUPS

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "config", "chain", "ledger", "wallets", "watcher", "settlement", "gateway", "bursar",
    "tests", "pyproject.toml",
)  # fmt: skip
LINKS = ("node_modules", ".tools", "deploy", "docs", "benchmarks", "scripts")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main() -> int:
    """0 only where the tests pass untouched and every chosen mutant dies."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--untouched", action="store_true", help="first see the tests pass")
    given = parser.parse_args()
    chosen = choose(given.only)
    if not chosen:
        parser.error("nothing has such a name; --list shows what there is")
    if given.list:
        print("\n".join(mutant.name for mutant in chosen))
        return 0
    with tempfile.TemporaryDirectory(prefix="bursar-mutants-") as folder:
        copy = scratch_copy(Path(folder))
        if given.untouched and (failed := run(copy, sorted({t for m in chosen for t in m.tests}))):
            print(f"fails without any mutant: {failed}")
            return 1
        killers = {mutant.name: kill(mutant, copy) for mutant in chosen}
    return 0 if all(killers.values()) else 1


def choose(names: Sequence[str]) -> list[Mutant]:
    """All, whole groups, or those whose name holds one of the words."""
    found: list[Mutant] = []
    for group, mutants in GROUPS.items():
        found += [
            m for m in mutants if not names or group in names or any(n in m.name for n in names)
        ]
    return found


def scratch_copy(folder: Path) -> Path:
    """The product and its tests, to be spoilt."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    for name in LINKS:
        if (ROOT / name).exists():
            (folder / name).symlink_to((ROOT / name).resolve())
    return folder


def kill(mutant: Mutant, copy: Path) -> str | None:
    """The test that died of it, told at once; ``None``: it lives."""
    former = apply(mutant, copy)
    try:
        killer = run(copy, mutant.tests)
    finally:
        for path, text in former.items():
            path.write_text(text)
    print(f"{mutant.name:<60} {killer or 'LIVES'}", flush=True)
    return killer


def run(copy: Path, tests: Sequence[str]) -> str | None:
    """The first test that fails; anything else than passing or failing is an error of ours."""
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = FAILED.search(done.stdout)
    if done.returncode == 0:
        return None
    if done.returncode != 1 or found is None:
        raise SystemExit(f"pytest did not run: {done.stdout[-3000:]}{done.stderr[-2000:]}")
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
