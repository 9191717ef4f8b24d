"""Which seed kills which mutant: ``python -m tests.simulation.mutants [--only WORD …]``.

Each is put into a scratch copy by itself, and the simulator is run over the seeds
until one of them violates a rule. A mutant that survives shows a rule that is missing.
Only the faults that a mutant is about strike, and days are short, which is faster. The code
without the mutant then runs the same seed with the same faults: a mutant counts as killed
only if that is clean.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.mutants.__main__ import scratch_copy
from tests.mutants.model import Mutant, apply
from tests.simulation.mutant_list import MUTANTS, Spoilt

SEEDS = 200
AT_ONCE = 3


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    name: str
    seed: int | None
    rule: str
    tried: int
    #: What the code without the mutant violates on that seed: nothing, if the mutant did it.
    unmutated: str = ""

    @property
    def killed(self) -> bool:
        return self.seed is not None and not self.unmutated


def main() -> int:
    """0 only where every chosen mutant dies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at most, per mutant")
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--database", default="sqlite", help="as the simulation takes it")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if not options.only or any(w in m.name for w in options.only)]
    if options.list:
        print("\n".join(m.name for m in chosen))
        return 0
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="bursar-sim-mutants-") as folder:
        copy = scratch_copy(Path(folder))
        for spoilt in chosen:
            verdicts.append(_try(spoilt, copy, options))
            print(_row(verdicts[-1]), flush=True)
    killed = sum(v.killed for v in verdicts)
    print(f"{killed} of {len(verdicts)} killed")
    return killed != len(verdicts)


def _try(spoilt: Spoilt, copy: Path, options: argparse.Namespace) -> Verdict:
    verdict = _look_for_seed(spoilt, copy, options)
    if verdict.seed is None:
        return verdict
    failed = _run(spoilt, copy, verdict.seed, verdict.seed, options)
    return replace(verdict, unmutated="; ".join(rules[0] for rules in failed.values()))


def _look_for_seed(spoilt: Spoilt, copy: Path, options: argparse.Namespace) -> Verdict:
    former = apply(Mutant(spoilt.name, spoilt.changes, ()), copy)
    try:
        for tried, (start, last) in enumerate(_portions(spoilt, options), start=1):
            failed = _run(spoilt, copy, start, last, options)
            if failed:
                seed = min(failed, key=int)
                return Verdict(spoilt.name, int(seed), failed[seed][0], tried * (last - start + 1))
    finally:
        for path, text in former.items():
            path.write_text(text)
    return Verdict(spoilt.name, None, "", options.seeds)


def _portions(spoilt: Spoilt, options: argparse.Namespace) -> list[tuple[int, int]]:
    """First and last of the seeds that are tried at once."""
    if spoilt.seeds:
        return [(seed, seed) for seed in spoilt.seeds[: options.seeds]]
    end = options.first + options.seeds
    starts = range(options.first, end, AT_ONCE)
    return [(start, min(start + AT_ONCE, end) - 1) for start in starts]


def _run(
    spoilt: Spoilt, copy: Path, first: int, last: int, options: argparse.Namespace
) -> dict[str, list[str]]:
    command = [
        sys.executable, "-m", "tests.simulation", "--seeds", f"{first}..{last}", "--json",
        "--jobs", str(options.jobs), "--database", options.database, "--stop", "--days", "0.05", "--invoices", "5", "--quiet", "1.5",
        "--calm", "--slack", str(spoilt.slack),
    ]  # fmt: skip
    for name, value in spoilt.faults.items():
        command += ["--fault", f"{name}={value}"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {str(first): [f"the simulator broke: {done.stderr[-300:]}"]}
    totals: dict[str, Any] = json.loads(lines[-1])
    failed: dict[str, list[str]] = totals["failed"]
    return failed


def _row(verdict: Verdict) -> str:
    fate = "SURVIVED" if verdict.seed is None else f"seed {verdict.seed}"
    row = f"{verdict.name:<48} {fate:<10} of {verdict.tried:>3}  {verdict.rule[:110]}"
    if verdict.unmutated:
        row += f"\n  NOT KILLED: without the mutant too: {verdict.unmutated[:110]}"
    return row


if __name__ == "__main__":
    sys.exit(main())
