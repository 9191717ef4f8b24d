"""Ten thousand merchants due at once: the daemon as a process, Anvil with 1 s blocks."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.books import sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.paying_books import SEEDED, merchant_id, seed
from chain.anvil import Anvil, AnvilOptions, DevRpc
from chain.artifacts import load_artifact
from chain.multicall import MULTICALL3
from config.units import to_hex
from ledger.schema import batches, chain_checks, merchants, payouts, transactions
from ledger.store import make_engine
from tests.support.postgres import DURABLE, PostgresCluster
from tests.support.world import World, open_world
from watcher.auditor import NAME as BALANCE_AUDIT

_PATIENCE: Final = 170.0
_LOOK: Final = 0.05
_BLOCK_SECONDS: Final = 1


@dataclass
class Course:
    """When how many payouts had come how far; seconds since they fell due."""

    submitted: list[tuple[float, int]] = field(default_factory=list)
    paid: list[tuple[float, int]] = field(default_factory=list)
    transactions: int = 0
    idle_mib: float = 0.0
    peak_mib: float = 0.0

    def reached(self, seen: list[tuple[float, int]], count: int) -> float:
        """Seconds until ``count`` had come so far."""
        return next(at for at, number in seen if number >= count)


def measure(context: Context) -> list[Figure]:
    """On SQLite a tenth of them due, then all, to see what grows; on PostgreSQL all."""
    count = context.sizes.payouts
    few, many = (
        asyncio.run(_course(context, count, due, sqlite_url(_folder(context, f"{due}") / "b.db")))
        for due in (count // 10, count)
    )
    figures = _figures("SQLite FULL", count, many)
    figures.append(
        Figure(
            f"{count:,} due merchants: memory of the daemon above idle",
            many.peak_mib - many.idle_mib, "MiB", f"{count // 10:,} of them due",
            few.peak_mib - few.idle_mib, None, None,
            {"idle_mib": many.idle_mib, "for_each_further_thousand": 1000 * (
                (many.peak_mib - many.idle_mib) - (few.peak_mib - few.idle_mib)
            ) / (count - count // 10)},
        )
    )  # fmt: skip
    with PostgresCluster(settings=DURABLE) as cluster:
        url = cluster.url(cluster.create_database())
        figures += _figures("PostgreSQL", count, asyncio.run(_course(context, count, count, url)))
    return figures


def _figures(database: str, count: int, course: Course) -> list[Figure]:
    broadcast = course.reached(course.submitted, count)
    first = course.submitted[0][0]
    paid = course.reached(course.paid, count)
    details = {
        "first_broadcast_seconds": first,
        "all_paid_seconds": paid,
        "block_seconds": _BLOCK_SECONDS,
        "idle_mib": course.idle_mib,
        "peak_mib": course.peak_mib,
    }
    what = f"{count:,} due merchants, {database}"
    return [
        Figure(f"{what}: due to all broadcast", broadcast, "s", "", None, None,
               at_most(60), details),
        Figure(f"{what}: transactions", course.transactions, "", "", None, None, at_most(30)),
        Figure(f"{what}: paid, first broadcast to last final", count / (paid - first),
               "payouts/s", "", None, None, at_least(400), details),
    ]  # fmt: skip


def _folder(context: Context, name: str) -> Path:
    folder = context.folder / f"paying-{name}"
    folder.mkdir()
    return folder


async def _course(context: Context, count: int, due: int, url: str) -> Course:
    """``due`` of ``count`` merchants fall due; the books are as large for few as for many."""

    async def all_due(engine: AsyncEngine) -> None:
        async with engine.begin() as conn:
            await conn.execute(
                merchants.update()
                .where(merchants.c.id < merchant_id(due))
                .values(next_settlement_at=datetime.now(UTC))
            )

    folder = _folder(context, f"daemon-{due}-{url.partition('+')[0]}")
    async with daemon(context, folder, url, count) as (world, engine):
        context.tell(f"{due:,} fall due")
        return await watched(world, engine, due, all_due)


@asynccontextmanager
async def daemon(
    context: Context, folder: Path, url: str, count: int, *, swept: bool = True
) -> AsyncIterator[tuple[World, AsyncEngine]]:
    """A daemon over books of so many merchants, and a chain that makes a block a second."""
    context.tell(f"books of {count:,} merchants")
    async with (
        Anvil(AnvilOptions()) as anvil,
        DevRpc(anvil.rpc_url) as rpc,
        aiohttp.ClientSession() as session,
    ):
        world = await open_world(folder, anvil, rpc, session, url)
        await world.prepare()
        # Nearly every chain has it.
        code = to_hex(load_artifact("Multicall").runtime)
        await rpc.call("anvil_setCode", to_hex(MULTICALL3), code)
        await seed(world, count, swept=swept)
        await rpc.call("evm_setIntervalMining", _BLOCK_SECONDS)
        world.start()
        engine = make_engine(url)
        keeping = asyncio.create_task(_keep_what_was_accepted(rpc, engine))
        try:
            await world.ready(150)
            await _audited(engine)
            yield world, engine
            if keeping.done():
                keeping.result()
        finally:
            keeping.cancel()
            world.kill()
            await engine.dispose()


async def _audited(engine: AsyncEngine) -> None:
    """The first round of the balance audit is over: a daemon that has just started asks for the
    balances of every address, which one that runs does once in a while."""
    query = sa.select(chain_checks.c.round_done).where(chain_checks.c.name == BALANCE_AUDIT)
    for _ in range(round(_PATIENCE / _LOOK)):
        async with engine.connect() as conn:
            if await conn.scalar(query) is not None:
                return
        await asyncio.sleep(_LOOK)
    raise RuntimeError("the first balance audit does not end")


async def _keep_what_was_accepted(rpc: DevRpc, engine: AsyncEngine) -> None:
    """What a real node does by itself: a transaction that it has accepted stays in its mempool.

    Anvil forgets one now and then that arrives while it makes the block with the nonce before
    it. The daemon finds that out and sends it again, after patience that fits real chains.
    """
    query = (
        sa.select(transactions.c.sender, transactions.c.nonce, transactions.c.tx_hash,
                  transactions.c.raw)
        .where(transactions.c.status == "broadcast")
        .order_by(transactions.c.nonce)
        .limit(1)
    )  # fmt: skip
    while True:
        await asyncio.sleep(_LOOK * 10)
        async with engine.connect() as conn:
            waiting = (await conn.execute(query)).first()
        if waiting is None:
            continue
        sender, nonce, tx_hash, raw = waiting
        used = int(await rpc.call("eth_getTransactionCount", "0x" + sender.hex(), "latest"), 16)
        known = await rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex())
        if used == nonce and known is None:
            await rpc.call("eth_sendRawTransaction", "0x" + raw.hex())


async def watched(
    world: World,
    engine: AsyncEngine,
    count: int,
    begin: Callable[[AsyncEngine], Awaitable[None]],
    table: sa.Table = payouts,
    over: str = "paid",
    begun: tuple[str, ...] = ("submitted", "executed", "final"),
    patience: float = _PATIENCE,
) -> Course:
    """From ``begin`` until ``count`` rows of ``table`` are ``over``.

    :param begun: statuses of a batch that count as submitted.
    """
    assert world.process is not None
    course = Course(idle_mib=_status(world.process.pid, "VmRSS"))
    purpose = "payout" if table is payouts else "sweep"
    # Asked often: a few dozen rows, where the entries are tens of thousands.
    query = (
        sa.select(batches.c.status, sa.func.sum(batches.c.size))
        .where(batches.c.purpose == purpose, batches.c.lane != SEEDED)
        .group_by(batches.c.status)
    )
    entries = sa.select(sa.func.count()).where(table.c.status == over)
    await begin(engine)
    began = time.perf_counter()
    found: dict[Any, int] = {}
    while (passed := time.perf_counter() - began) < patience:
        async with engine.connect() as conn:
            found = dict((await conn.execute(query)).tuples().all())
            sent = sum(found.get(status, 0) for status in begun)
            if sent and (not course.submitted or course.submitted[-1][1] < sent):
                course.submitted.append((passed, sent))
            final = found.get("final", 0)
            if final and (not course.paid or course.paid[-1][1] < final):
                course.paid.append((passed, final))
            if final >= count and await conn.scalar(entries) == count:
                break
        await asyncio.sleep(_LOOK)
    else:
        raise RuntimeError(f"not all done: {found}\n{world.log[-3000:]}")
    async with engine.connect() as conn:
        counting = sa.select(sa.func.count()).where(transactions.c.purpose == purpose)
        course.transactions = await conn.scalar(counting) or 0
    course.peak_mib = _status(world.process.pid, "VmHWM")
    return course


def _status(pid: int, name: str) -> float:
    """MiB (proc(5))."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
