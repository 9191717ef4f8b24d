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
from typing import Any

import aiohttp
import pytest

from benchmarks.books import MERCHANT, Cache, sqlite_url
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import ROOT, Replay
from benchmarks.stage import CONFIRMATIONS, config_text, open_ledger
from ledger.api_keys import create_api_key
from tests.support.postgres import free_port

MANY = int(os.environ.get("OPEN_INVOICES", "40000"))
"""``OPEN_INVOICES`` sets another number."""
FEW = 1_000
BYTES_EACH = 64
"""Of memory for a watched address, other growth included (the issue's bound: 60 MB a million)."""
ADMIN_KEY = "an-admin-key-for-tests-only-0123456789"
LOGS = (
    "/v1/events", "/v1/events?type=invoice.created", "/v1/ledger-entries", "/v1/payments",
    "/v1/invoices?status=new", "/v1/admin/holds", "/v1/admin/payouts/runs",
)  # fmt: skip
"""What a daemon keeps of what happened, newest first."""
SLACK = 24 << 20
"""What two starts of one process differ by."""


@contextmanager
def daemon(
    folder: Path, database: Path, rpc_url: str, port: int, role: str = "watcher"
) -> Iterator[int]:
    """A daemon with one role; its process id."""
    http = f'\n[http]\nhost = "127.0.0.1"\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\n'
    config = folder / "bursar.toml"
    config.write_text(config_text(sqlite_url(database), rpc_url) + http)
    command = [sys.executable, "-m", "bursar", "--config", str(config), "run"]
    log = folder / "daemon.log"
    environment = {**os.environ, "BURSAR_ADMIN_KEY": ADMIN_KEY}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--role", role], cwd=ROOT, stdout=out, stderr=out, env=environment
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


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def books(cache: Cache, tmp_path: Path) -> dict[int, Path]:
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


async def key_for(path: Path) -> str:
    ledger = open_ledger(sqlite_url(path))
    try:
        async with ledger.transaction() as tx:
            return (await create_api_key(tx, MERCHANT)).key
    finally:
        await ledger.dispose()


async def until_ready(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(600):
        try:
            await text_of(session, f"{url}/livez")
        except (aiohttp.ClientError, AssertionError):
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("never up")


async def page_of(
    session: aiohttp.ClientSession, url: str, key: str
) -> tuple[float, dict[str, Any]]:
    """Seconds and body of one page; shed or too fast (503, 429) is waited out, not counted."""
    for _ in range(100):
        began = time.perf_counter()
        async with session.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
            if answer.status == 200:
                return time.perf_counter() - began, await answer.json()
            assert answer.status in (429, 503), await answer.text()
        await asyncio.sleep(0.2)
    raise AssertionError(f"{url}: always turned away")


async def test_f32_logs__very_many_events_under_load__quick_and_bounded(
    tmp_path: Path, books: dict[int, Path]
) -> None:
    """Each log's newest page and one far down, forty readers at once, scrapes among them."""
    key = await key_for(books[MANY])
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Replay(ChainSpec(blocks=CONFIRMATIONS + 2, logs_per_block=2)) as replay:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            with daemon(tmp_path, books[MANY], replay.url, port, "gateway") as pid:
                await until_ready(session, url)

                async def read(path: str) -> tuple[float, dict[str, Any]]:
                    own = ADMIN_KEY if "/admin/" in path else key
                    joint = "&" if "?" in path else "?"
                    return await page_of(session, f"{url}{path}{joint}limit=100", own)

                first = {path: await read(path) for path in LOGS}
                assert len(first["/v1/events"][1]["data"]) == 100
                before = resident(pid)
                deep = "/v1/events"
                for _ in range(10):
                    _, page = await read(deep)
                    deep = f"/v1/events?cursor={page['next_cursor']}"
                alone = [(await read(path))[0] for path in (*LOGS, deep)]
                waits: list[float] = []
                for _ in range(2):
                    readers = [read(path) for path in (*LOGS, deep) * 5]
                    scrapes = asyncio.gather(*[text_of(session, f"{url}/metrics") for _ in "ab"])
                    waits += [took for took, _ in await asyncio.gather(*readers)]
                    await scrapes
                scrape = (await text_of(session, f"{url}/metrics"))[0]
                grown = resident(pid) - before
    print(
        f"{MANY:,} events: slowest page {max(alone):.3f} s alone, {statistics.median(waits):.3f} s "
        f"among forty; scrape {scrape:.3f} s; {grown >> 20} MiB more"
    )
    assert max(alone) < 1.0
    assert scrape < 1.0
    assert grown < SLACK
