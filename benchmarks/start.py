"""From the command to the first committed scan, with very many open invoices."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.books import sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_most
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import ROOT, Replay
from benchmarks.stage import CONFIRMATIONS, config_text

_PATIENCE: Final = 300.0


def measure(context: Context) -> list[Figure]:
    """``bursar run --role watcher`` as a process; the best of some, files in the page cache."""
    many, few = context.sizes.addresses, context.sizes.few_addresses
    times: dict[int, list[float]] = {}
    with Replay(ChainSpec(blocks=200, watched=few)) as replay:
        for count in (few, many):
            for run in range(context.sizes.starts):
                context.tell(f"start {run + 1} with {count:,} invoices")
                path = context.cache.copy(count, context.folder, "start.db")
                times.setdefault(count, []).append(_start(context.folder, path, replay.url))
    value, other = min(times[many]), min(times[few])
    return [
        Figure(
            f"start with {many:,} open invoices to first scan", value, "s",
            f"with {few:,}", other, value / other, at_most(5),
            {"runs": [round(t, 2) for t in times[many]]},
        )
    ]  # fmt: skip


def _start(folder: Path, database: Path, rpc_url: str) -> float:
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
            return _first_scan(database, daemon) - began
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
