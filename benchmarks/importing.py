"""``bursar invoices import``: how fast, and whether memory grows with the file."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.books import prepare, sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.replay.process import ROOT
from benchmarks.stage import config_text

MILLION: Final = 1_000_000
_LOOK: Final = 0.02


def measure(context: Context) -> list[Figure]:
    """Two files, the second five times as long; peak memory as the kernel counts it."""
    lines = context.sizes.imported
    short = _import(context, max(1, lines // 5))
    long = _import(context, lines)
    more = lines - max(1, lines // 5)
    return [
        Figure(
            f"invoices import, {lines:,} lines", lines / long[0], "invoices/s",
            target=at_least(5_000),
            details={
                "without_start": more / (long[0] - short[0]),
                "per_cpu_second": lines / long[2],
            },
        ),
        Figure(
            "invoices import, memory for each further 1,000,000 lines",
            (long[1] - short[1]) / more * MILLION, "MiB",
            "peak of the short file", short[1],
            target=at_most(50),
            details={"peak_of_the_long_file": long[1]},
        ),
    ]  # fmt: skip


def _import(context: Context, lines: int) -> tuple[float, float, float]:
    """Seconds, peak MiB, CPU seconds."""
    context.tell(f"{lines:,} lines")
    database = context.folder / f"import-{lines}.db"
    asyncio.run(prepare(sqlite_url(database), 0))
    config = context.folder / "bursar.toml"
    config.write_text(config_text(sqlite_url(database), "http://127.0.0.1:1"))
    file = _file(context.folder, lines)
    command = [sys.executable, "-m", "bursar", "--config", str(config), "invoices", "import"]
    began = time.perf_counter()
    problems = context.folder / "import.log"
    with problems.open("wb") as errors:
        importer = subprocess.Popen(
            [*command, str(file)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )
    peak, pid = 0.0, 0
    while not pid:
        peak = _peak(importer.pid) or peak
        time.sleep(_LOOK)
        # wait4, because it tells what this child took, not all of them together.
        pid, status, usage = os.wait4(importer.pid, os.WNOHANG)
    seconds = time.perf_counter() - began
    if status:
        raise RuntimeError(f"import failed: {problems.read_text()[-2000:]}")
    return seconds, peak, usage.ru_utime + usage.ru_stime


def _peak(pid: int) -> float:
    """MiB so far, 0 once it has ended. (``ru_maxrss`` counts the parent before the exec too.)"""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _file(folder: Path, lines: int) -> Path:
    path = folder / f"invoices-{lines}.jsonl"
    with path.open("w") as file:
        file.writelines(
            f'{{"amount": "{10 + i % 90}.00", "currency": "USD", "reference": "order-{i}", '
            f'"metadata": {{"cart": {i}}}}}\n'
            for i in range(lines)
        )
    return path
