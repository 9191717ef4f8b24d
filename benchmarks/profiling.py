"""``python -m benchmarks.profiling catch-up|recording [--quick]``: where the time goes.

cProfile sees one thread and makes every Python call dearer; what the database
driver's thread and the kernel take is told beside it as CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final

from benchmarks.baselines import Run
from benchmarks.books import Cache, prepare, sqlite_url
from benchmarks.catchup import catch_up
from benchmarks.recording import record, record_block
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import ROOT, Replay
from benchmarks.sizes import FULL, QUICK, Sizes
from benchmarks.stage import CONFIRMATIONS, open_ledger, open_stage

_WARM_UP: Final = 100
_LINES: Final = 25


async def profile_catch_up(sizes: Sizes, path: Path) -> None:
    """One segment of blocks below finality."""
    blocks = _WARM_UP + 2 * sizes.segment_blocks
    spec = ChainSpec(blocks=blocks + CONFIRMATIONS, watched=sizes.few_addresses)
    with Replay(spec) as replay:
        async with open_stage(sqlite_url(path), replay.url) as stage:
            await catch_up(stage, replay, _WARM_UP)
            await _plain(catch_up(stage, replay, _WARM_UP + sizes.segment_blocks), "logs")
            await _profiled(catch_up(stage, replay, blocks))


async def profile_recording(sizes: Sizes, path: Path) -> None:
    """Blocks of 100 deposits each into SQLite; a first time without the profiler."""
    for run, part in enumerate((path.with_suffix(".1"), path.with_suffix(".2"))):
        await prepare(sqlite_url(part), sizes.deposits)
        ledger = open_ledger(sqlite_url(part))
        try:
            work = record(ledger, sizes.deposits, record_block)
            await (_profiled(work) if run else _plain(work, "deposits"))
        finally:
            await ledger.dispose()


async def _plain(work: Awaitable[Run], what: str) -> None:
    """CPU by thread: the loop's own, and everything else in the process."""
    began = time.thread_time()
    run = await work
    own = time.thread_time() - began
    _say(
        f"{run.logs:,} {what}: {run.seconds:.2f} s; CPU {run.cpu:.2f} s, of it "
        f"{own:.2f} s in the loop's thread, {run.cpu - own:.2f} s in others\n"
    )


async def _profiled(work: Awaitable[Run]) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    await work
    profiler.disable()
    # stats: (file, line, name) → (calls, all calls, own seconds, seconds with callees, callers)
    stats: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    for order, column in (("own time", 2), ("time with callees", 3)):
        _say(f"\n--- by {order}\n")
        rows = sorted(stats.items(), key=lambda item, by=column: -item[1][by])  # type: ignore[misc]
        for (file, line, name), row in rows[:_LINES]:
            _say(f"{row[1]:>10} {row[2]:8.3f} {row[3]:8.3f}  {name} ({_short(file)}:{line})\n")


def _short(file: str) -> str:
    file = file.replace(f"{ROOT}/", "")
    return file.partition("site-packages/")[2] or file


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    """Print a profile of one of the two journeys of a deposit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description=__doc__)
    parser.add_argument("what", choices=("catch-up", "recording"))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    sizes = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory(prefix="bursar-bench-") as folder:
        if given.what == "catch-up":
            path = Cache().copy(sizes.addresses, Path(folder), "profile.db")
            asyncio.run(profile_catch_up(sizes, path))
        else:
            asyncio.run(profile_recording(sizes, Path(folder) / "profile.db"))


if __name__ == "__main__":
    main()
