"""Very many open invoices and a busy door: what a process takes stays bounded, a scrape is quick."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from benchmarks.books import Cache, sqlite_url
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import ROOT, Replay
from benchmarks.stage import CONFIRMATIONS, config_text
from tests.support.postgres import free_port

MANY = int(os.environ.get("OPEN_INVOICES", "40000"))
"""``OPEN_INVOICES`` sets another number."""
FEW = 1_000
BYTES_EACH = 64
"""Of memory for a watched address, other growth included (the issue's bound: 60 MB a million)."""
SLACK = 24 << 20
"""What two starts of one process differ by."""


@contextmanager
def daemon(folder: Path, database: Path, rpc_url: str, port: int) -> Iterator[int]:
    """Gateway and watcher in one process; its id."""
    http = f'\n[http]\nhost = "127.0.0.1"\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\n'
    config = folder / "bursar.toml"
    config.write_text(config_text(sqlite_url(database), rpc_url) + http)
    command = [sys.executable, "-m", "bursar", "--config", str(config), "run"]
    log = folder / "daemon.log"
    environment = {**os.environ, "BURSAR_ADMIN_KEY": "an-admin-key-for-tests-only-0123456789"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--role", "watcher"], cwd=ROOT, stdout=out, stderr=out, env=environment
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


async def text_of(session: aiohttp.ClientSession, url: str) -> tuple[float, str]:
    """Seconds and body of one scrape."""
    began = time.perf_counter()
    async with session.get(url) as answer:
        assert answer.status == 200
        return time.perf_counter() - began, await answer.text()


async def until_shown(session: aiohttp.ClientSession, url: str, wanted: int) -> str:
    """The first scrape that shows the invoices."""
    sample = re.compile(r'^bursar_invoices\{status="new"\} (\S+)$', re.MULTILINE)
    for _ in range(1_800):
        try:
            _, text = await text_of(session, url)
        except aiohttp.ClientError:
            text = ""
        found = sample.search(text)
        if found is not None and float(found[1]) == wanted:
            return text
        await asyncio.sleep(0.1)
    raise AssertionError(f"never shown: {wanted}")


def resident(pid: int) -> int:
    """Bytes (proc(5))."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


@pytest.fixture
def books(tmp_path: Path) -> dict[int, Path]:
    cache = Cache(tmp_path)
    return {count: cache.copy(count, tmp_path, f"{count}.db") for count in (FEW, MANY)}


async def test_f32_metrics__very_many_open_invoices_under_load__quick_and_bounded(
    tmp_path: Path, books: dict[int, Path]
) -> None:
    """Forty scrapers at once, in rounds; the figures come from memory, not from the books."""
    sizes: dict[int, int] = {}
    memory: dict[int, int] = {}
    with Replay(ChainSpec(blocks=CONFIRMATIONS + 2, logs_per_block=2)) as replay:
        for count, path in books.items():
            port = free_port()
            url = f"http://127.0.0.1:{port}/metrics"
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                with daemon(tmp_path, path, replay.url, port) as pid:
                    sizes[count] = len(await until_shown(session, url, count))
                    seconds: list[float] = []
                    for _ in range(5):
                        scrapes = [text_of(session, url) for _ in range(40)]
                        seconds += [took for took, _ in await asyncio.gather(*scrapes)]
                    alone = statistics.median([(await text_of(session, url))[0] for _ in range(9)])
                    memory[count] = resident(pid)
            print(
                f"{count:,} invoices: scrape {alone:.3f} s alone, "
                f"{statistics.median(seconds):.3f} s among forty, {memory[count] >> 20} MiB"
            )
            assert alone < 1.0
    assert sizes[MANY] < sizes[FEW] * 1.05, "no series of its own for what there are many of"
    assert memory[MANY] - memory[FEW] < BYTES_EACH * MANY + SLACK
