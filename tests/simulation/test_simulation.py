"""Seeds that must stay clean: the named ones, each with what it taught, and fresh ones for each change.

Each runs in a process of its own what ``python -m tests.simulation`` does, with the hash order
fixed, so that the command that is printed replays it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import served

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("--days", "0.05", "--invoices", "2")
LONGEST = 600
PARTS, SEEDS, MINUTES = 4, 15, "1"
"""Of the fresh seeds: parts for as many processes, seeds of a part, and its longest time."""


def simulate(*arguments: str) -> dict[str, Any]:
    """The totals of a run; its whole output in the failure."""
    done = served.run(["--json", *SHORT, *arguments])
    assert done.stdout, done.stderr
    totals: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert not totals["failed"], done.stdout + done.stderr
    assert done.returncode == 0
    return totals


@pytest.mark.timeout(LONGEST)
def test_simulation__nothing_fails__paid_out_and_agreeing() -> None:
    """The whole journey of the daemon's own code, without a fault."""
    totals = simulate("--calm", "--seed", "3")
    assert totals["counts"]["broadcasts"] >= 2
    assert totals["steps"] > 50


@pytest.mark.timeout(LONGEST)
def test_simulation__same_seed_twice__same_history() -> None:
    """A seed is worth something only if it replays; this one has a death and nine other faults."""
    prints = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", *SHORT, "--seed", "7"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
        prints.append([w for w in done.stdout.split() if len(w) == 16 and w.isalnum()][:1])
    assert prints[0] == prints[1] != []


@pytest.mark.timeout(LONGEST)
def test_simulation__seed_500__two_top_ups_in_flight_and_a_sponsor_that_could_pay_for_one() -> None:
    simulate("--seed", "500")


@pytest.mark.timeout(LONGEST)
@pytest.mark.parametrize("part", range(PARTS))
def test_simulation__seeds_of_this_commit__no_rule_broken(part: int) -> None:
    """New ground for each change, and the same for everybody who tests it.

    ``SIMULATION_MINUTES=3``: others than these, for so long in each part. A seed that fails is
    printed with the command that replays it, and becomes a named case.
    """
    minutes = os.environ.get("SIMULATION_MINUTES")
    first = seed_of_this_commit() if minutes is None else secrets.randbelow(10**9)
    many = 9_999 if minutes else SEEDS
    first += part * many
    print(f"seeds from {first}")
    simulate("--seeds", f"{first}..{first + many - 1}", "--minutes", minutes or MINUTES, "--stop")


def seed_of_this_commit() -> int:
    """From what is in the tree: the same after a merge that changes nothing, and without git none."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD^{tree}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return int(found.stdout[:7], 16) if found.returncode == 0 else 501
