"""``python -m benchmarks [name …] [--quick]``: measure, print a table, write the results."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.books import Cache
from benchmarks.context import Context
from benchmarks.figures import Figure
from benchmarks.registry import MEASURES
from benchmarks.report import show, write
from benchmarks.sizes import FULL, QUICK
from config.clock import SystemClock
from config.log import configure_logging
from config.models import LogSettings
from config.redact import Redactor

RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    """Runs what was named, or everything; 1 where a target is missed and ``--check`` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="of: " + ", ".join(MEASURES))
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--output", type=Path, help=f"results file (default: {RESULTS.name})")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in MEASURES]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; known: {', '.join(MEASURES)}")
    # A quick run must not overwrite measured results.
    output = given.output or (RESULTS.with_stem("results-quick") if given.quick else RESULTS)
    configure_logging(LogSettings(level="warning"), Redactor(), SystemClock(), sys.stderr)
    figures: list[Figure] = []
    for name in given.names or MEASURES:
        figures += _run(name, quick=given.quick)
        write(output, (QUICK if given.quick else FULL).name, figures)
    show(figures)
    _note(f"written to {output}")
    return int(given.check and any(figure.met is False for figure in figures))


def _run(name: str, *, quick: bool) -> list[Figure]:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bursar-bench-") as folder:
        tell: Callable[[str], None] = lambda text: _note(f"{name}: {text}")  # noqa: E731
        context = Context(QUICK if quick else FULL, Cache(), Path(folder), tell)
        figures = MEASURES[name](context)
    for figure in figures:
        # More than the cores there are: others had a share of the machine.
        figure.details["load_average"] = round(os.getloadavg()[0], 1)
    _note(f"{name}: done in {time.perf_counter() - began:.0f} s")
    return figures


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


sys.exit(main())
