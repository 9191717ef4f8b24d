"""From the command to the first committed scan, with very many open invoices."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.books import sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_most
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import ROOT, Replay
from benchmarks.stage import CONFIRMATIONS, config_text

_PATIENCE: Final = 300.0


class Start(NamedTuple):
    """Wall time, and what the daemon had taken of the CPU by then."""

    seconds: float
    cpu: float


def measure(context: Context) -> list[Figure]:
    """``bursar run --role watcher`` as a process; the best of some, files in the page cache."""
    many, few = context.sizes.addresses, context.sizes.few_addresses
    times: dict[int, list[Start]] = {}
    with Replay(ChainSpec(blocks=200, watched=few)) as replay:
        for count in (few, many):
            for run in range(context.sizes.starts):
                context.tell(f"start {run + 1} with {count:,} invoices")
                path = context.cache.copy(count, context.folder, "start.db")
                times.setdefault(count, []).append(_start(context.folder, path, replay.url))
    best, other = min(times[many]), min(times[few])
    return [
        Figure(
            f"start with {many:,} open invoices to first scan", best.seconds, "s",
            f"with {few:,}", other.seconds, best.seconds / other.seconds, at_most(5),
            {
                "cpu_seconds": best.cpu,
                "baseline_cpu_seconds": other.cpu,
                "ratio_of_cpu": best.cpu / other.cpu,
                "runs": [round(start.seconds, 2) for start in times[many]],
            },
        )
    ]  # fmt: skip


def _start(folder: Path, database: Path, rpc_url: str) -> Start:
    config = folder / "bursar.toml"
    config.write_text(config_text(sqlite_url(database), rpc_url))
    command = [sys.executable, "-m", "bursar", "--config", str(config), "run", "--role", "watcher"]
    log = folder / "start.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        daemon = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "NO_COLOR": "1"}
        )
        try:
            seconds = _first_scan(database, daemon) - began
            return Start(seconds, _cpu(daemon.pid))
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {log.read_text()[-2000:]}") from None
        finally:
            daemon.terminate()
            daemon.wait(30)


def _first_scan(database: Path, daemon: subprocess.Popen[bytes]) -> float:
    """When a cursor above the first block was committed: CONFIRMATIONS blocks are never a range."""
    deadline = time.perf_counter() + _PATIENCE
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        while time.perf_counter() < deadline and daemon.poll() is None:
            row = db.execute("SELECT cursor_block FROM chain_cursors").fetchone()
            if row is not None and row[0] > CONFIRMATIONS:
                return time.perf_counter()
            time.sleep(0.01)
    raise RuntimeError("the daemon has scanned nothing")


def _cpu(pid: int) -> float:
    """User and system time of a process in seconds (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
