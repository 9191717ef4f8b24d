"""Ten thousand merchants due at once: the daemon as a process, Anvil with 1 s blocks, SQLite."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.books import sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.paying_books import merchant_id, seed
from chain.anvil import Anvil, AnvilOptions, DevRpc
from ledger.times import utc_text
from tests.support.world import World, open_world

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
    """All due in one second; a tenth of it before, to see what grows with the number."""
    count = context.sizes.payouts
    few, many = (asyncio.run(_course(context, count, due)) for due in (count // 10, count))
    broadcast = many.reached(many.submitted, count)
    paid = many.reached(many.paid, count) - many.submitted[0][0]
    details = {
        "first_broadcast_seconds": many.submitted[0][0],
        "all_paid_seconds": many.reached(many.paid, count),
        "block_seconds": _BLOCK_SECONDS,
    }
    return [
        Figure(
            f"{count:,} due merchants: due to all broadcast", broadcast, "s",
            f"{count // 10:,} of them due", few.reached(few.submitted, count // 10), None,
            at_most(60), details,
        ),
        Figure(f"{count:,} due merchants: transactions", many.transactions, "", "", None, None,
               at_most(30)),
        Figure(
            f"{count:,} due merchants: memory of the daemon above idle",
            many.peak_mib - many.idle_mib, "MiB", f"{count // 10:,} of them due",
            few.peak_mib - few.idle_mib, None, None,
            {"idle_mib": many.idle_mib, "for_each_further_thousand": 1000 * (
                (many.peak_mib - many.idle_mib) - (few.peak_mib - few.idle_mib)
            ) / (count - count // 10)},
        ),
        Figure("payouts paid, first broadcast to last final", count / paid, "payouts/s", "",
               None, None, at_least(400), details),
    ]  # fmt: skip


async def _course(context: Context, count: int, due: int) -> Course:
    """``due`` of ``count`` merchants fall due; the books are as large for few as for many."""
    folder = context.folder / f"paying-{due}"
    folder.mkdir()
    database = folder / "bursar.db"
    context.tell(f"books of {count:,} merchants")
    options = AnvilOptions()
    async with (
        Anvil(options) as anvil,
        DevRpc(anvil.rpc_url) as rpc,
        aiohttp.ClientSession() as session,
    ):
        world = await open_world(folder, anvil, rpc, session, sqlite_url(database))
        await world.prepare()
        await seed(world, count)
        await rpc.call("evm_setIntervalMining", _BLOCK_SECONDS)
        world.start()
        keeping = asyncio.create_task(_keep_what_was_accepted(rpc, database))
        try:
            await world.ready(150)
            context.tell(f"{due:,} fall due")
            course = await _watched(world, database, due)
            if keeping.done():
                keeping.result()
            return course
        finally:
            keeping.cancel()
            world.kill()


async def _keep_what_was_accepted(rpc: DevRpc, database: Path) -> None:
    """What a real node does by itself: a transaction that it has accepted stays in its mempool.

    Anvil forgets one now and then that arrives while it makes the block with the nonce before
    it. The daemon finds that out and sends it again, after patience that fits real chains.
    """
    while True:
        await asyncio.sleep(_LOOK * 10)
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            waiting = db.execute(
                "SELECT sender, nonce, tx_hash, raw FROM transactions"
                " WHERE status = 'broadcast' ORDER BY nonce"
            ).fetchall()
        if not waiting:
            continue
        sender, nonce, tx_hash, raw = waiting[0]
        used = int(await rpc.call("eth_getTransactionCount", "0x" + sender.hex(), "latest"), 16)
        known = await rpc.call("eth_getTransactionByHash", "0x" + tx_hash.hex())
        if used == nonce and known is None:
            await rpc.call("eth_sendRawTransaction", "0x" + raw.hex())


async def _watched(world: World, database: Path, count: int) -> Course:
    assert world.process is not None
    course = Course(idle_mib=_status(world.process.pid, "VmRSS"))
    with closing(sqlite3.connect(database, timeout=30)) as db:
        now = utc_text(datetime.now(UTC))
        with db:
            db.execute(
                "UPDATE merchants SET next_settlement_at = ? WHERE id < ?",
                (now, merchant_id(count)),
            )
    began = time.perf_counter()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        while (passed := time.perf_counter() - began) < _PATIENCE:
            found = dict(db.execute("SELECT status, count(*) FROM payouts GROUP BY status"))
            sent = found.get("submitted", 0) + found.get("paid", 0)
            if sent and (not course.submitted or course.submitted[-1][1] < sent):
                course.submitted.append((passed, sent))
            if found.get("paid", 0):
                course.paid.append((passed, found["paid"]))
            if found.get("paid", 0) == count:
                break
            await asyncio.sleep(_LOOK)
        else:
            raise RuntimeError(f"not all paid: {found}\n{world.log[-3000:]}")
        (course.transactions,) = db.execute(
            "SELECT count(*) FROM transactions WHERE purpose = 'payout'"
        ).fetchone()
    course.peak_mib = _status(world.process.pid, "VmHWM")
    return course


def _status(pid: int, name: str) -> float:
    """MiB (proc(5))."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
