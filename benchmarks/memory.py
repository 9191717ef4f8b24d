"""What a million watched addresses take in memory, above the same process without any."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.books import prepare, sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_most
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import ROOT, Replay
from benchmarks.stage import CONFIRMATIONS, open_stage


def measure(context: Context) -> list[Figure]:
    """Two watchers in a process of their own, one after the other: of empty and of full books."""
    count = context.sizes.addresses
    empty = context.folder / "empty.db"
    asyncio.run(prepare(sqlite_url(empty), 0))
    full = context.cache.copy(count, context.folder, "memory.db")
    with Replay(ChainSpec(blocks=CONFIRMATIONS + 2, logs_per_block=2)) as replay:
        command = [sys.executable, "-m", "benchmarks.memory", str(empty), str(full), replay.url]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found = msgspec.json.decode(done.stdout.splitlines()[-1])
    return [
        Figure(
            f"memory of {count:,} addresses", found["kept"] - found["idle"], "MiB",
            "idle process", found["idle"], None, at_most(60),
            {"peak_while_loading": found["peak"] - found["idle"]},
        )
    ]  # fmt: skip


async def _watch(paths: tuple[Path, Path], url: str) -> dict[str, float]:
    empty, full = paths
    async with open_stage(sqlite_url(empty), url) as idle:
        for _ in range(4):
            await idle.watcher.tick()
        before = resident()
        _forget_peak()
        async with open_stage(sqlite_url(full), url) as stage:
            for _ in range(4):
                await stage.watcher.tick()
            peak = _status("VmHWM")
            return {"idle": before, "kept": resident(), "peak": peak}


def resident() -> float:
    """MiB of this process once everything unused was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _forget_peak() -> None:
    """``VmHWM`` begins anew (proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    told = asyncio.run(_watch((Path(sys.argv[1]), Path(sys.argv[2])), sys.argv[3]))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
