"""Deposits into the books: payment, invoice, postings, events, committed a block at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.baselines import Run
from benchmarks.books import count_rows, prepare, sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, at_least
from benchmarks.replay.chain import CHAIN_ID, FIRST_TIME, HIT_UNITS, USDC, XPUB
from benchmarks.stage import CHAIN, CONFIRMATIONS, open_ledger, settings_for
from chain.model import BlockHeader
from config.chains import ChainSettings
from config.units import Address, Amount, BlockNumber, Hash32
from ledger.cursors import BlockMark, advance_cursor, get_cursor, start_cursor
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.payment_rows import PaymentPolicy
from ledger.payment_rules import Sighting
from ledger.payments import record_sightings
from ledger.store import Ledger
from tests.support.postgres import DURABLE, PostgresCluster
from wallets.derivation import DepositDeriver
from watcher.decode import block_time
from watcher.effects import House, Pass, commit_pass, to_block_row

PER_BLOCK: Final = 100
_POLICY: Final = PaymentPolicy()
_TOLERANCE: Final = Tolerance()
_UNIT: Final = "deposits/s"


def measure(context: Context) -> list[Figure]:
    """On SQLite and on PostgreSQL, both with every commit on disk."""
    figures: list[Figure] = []
    for name, opened in (("SQLite FULL", _sqlite), ("PostgreSQL", _postgres)):
        with opened(context) as (url, bare):
            context.tell(f"{name}: opening {context.sizes.deposits:,} invoices")
            figures += asyncio.run(_on(context, name, url, bare))
    return figures


@contextmanager
def _sqlite(context: Context) -> Iterator[tuple[Callable[[], str], Callable[[int], float]]]:
    made = 0

    def url() -> str:
        nonlocal made
        made += 1
        return sqlite_url(context.folder / f"recording-{made}.db")

    yield url, lambda count: bare_sqlite(context.folder / "bare.db", count)


@contextmanager
def _postgres(context: Context) -> Iterator[tuple[Callable[[], str], Callable[[int], float]]]:
    del context
    with PostgresCluster(settings=DURABLE) as cluster:

        def bare(count: int) -> float:
            plain = cluster.url(cluster.create_database()).replace("+asyncpg", "")
            return asyncio.run(bare_postgres(plain, count))

        yield (lambda: cluster.url(cluster.create_database())), bare


async def _on(
    context: Context, name: str, url: Callable[[], str], bare: Callable[[int], float]
) -> list[Figure]:
    count = context.sizes.deposits
    runs: dict[str, Run] = {}
    for way, commit in (("recorded", record_block), ("through the watcher's commit", pass_block)):
        chosen = url()
        await prepare(chosen, count)
        ledger = open_ledger(chosen)
        try:
            context.tell(f"{name}: {way}")
            await _analyze(ledger)
            runs[way] = await record(ledger, count, commit)
            if await count_rows(ledger, "payments") != count:
                raise RuntimeError("not every deposit is in the books")
        finally:
            await ledger.dispose()
    context.tell(f"{name}: bare inserts")
    speed = await asyncio.to_thread(bare, count)
    return [
        Figure(
            f"deposits {way}, {name}", run.speed, _UNIT, "three bare inserts", speed,
            run.speed / speed, at_least(10_000) if way == "recorded" else None,
            {"deposits_per_cpu_second": run.cpu_speed, "per_block": PER_BLOCK},
        )
        for way, run in runs.items()
    ]  # fmt: skip


async def _analyze(ledger: Ledger) -> None:
    """What PostgreSQL's autovacuum does within a minute of such a load; SQLite never does it."""
    if ledger.engine.dialect.name == "postgresql":
        async with ledger.transaction() as tx:
            await tx.conn.exec_driver_sql("ANALYZE")


Commit = Callable[[Ledger, int, Sequence[Sighting]], Any]


async def record(ledger: Ledger, count: int, commit: Commit) -> Run:
    """``count`` deposits, each to an invoice of its own, a transaction per block of 100."""
    addresses = DepositDeriver(XPUB).addresses(0, count)
    async with ledger.transaction() as tx:
        await start_cursor(tx, CHAIN, CHAIN_ID, to_block_row(header(0)))
    blocks = [
        sightings(number, addresses[start : start + PER_BLOCK])
        for number, start in enumerate(range(0, count, PER_BLOCK), 1)
    ]
    began, cpu = time.perf_counter(), time.process_time()
    for number, found in enumerate(blocks, 1):
        await commit(ledger, number, found)
    return Run(count, count, time.perf_counter() - began, time.process_time() - cpu)


async def record_block(ledger: Ledger, number: int, found: Sequence[Sighting]) -> None:
    """Payments, invoices, books, events and cursor, as a block at the head has them."""
    before, block = header(number - 1), to_block_row(header(number))
    touched = Touched()
    async with ledger.transaction() as tx:
        await get_cursor(tx, CHAIN, lock=True)
        await advance_cursor(
            tx,
            CHAIN,
            expected=BlockMark(before.number, before.hash),
            new_blocks=[block],
            top=block,
            final=BlockMark(header(0).number, header(0).hash),
        )
        await record_sightings(tx, found, _POLICY, touched)
        await refresh_invoices(tx, touched.ids, _TOLERANCE)


async def pass_block(ledger: Ledger, number: int, found: Sequence[Sighting]) -> None:
    """The same with what the watcher adds: confirming, and marking as final."""
    async with ledger.reading() as tx:
        cursor = await get_cursor(tx, CHAIN)
    assert cursor is not None
    work = Pass(
        cursor=cursor,
        headers=(header(number),),
        stored=(header(number),),
        sightings=tuple(found),
        scan=None,
        final=max(0, number - CONFIRMATIONS + 1),
        tags={},
        agreed=None,
    )
    async with ledger.transaction() as tx:
        await commit_pass(tx, House(_chain(), _POLICY, _TOLERANCE), work, None)


@lru_cache
def _chain() -> ChainSettings:
    """Read once, as the daemon does."""
    return settings_for("sqlite+aiosqlite:///x", "http://127.0.0.1:1").chains[0]


def header(number: int) -> BlockHeader:
    """A block of nothing but its number."""
    return BlockHeader(
        number=BlockNumber(number),
        hash=_hash("block", number),
        parent_hash=_hash("block", number - 1),
        timestamp=FIRST_TIME + 2 * number,
        logs_bloom=bytes(256),
        base_fee_per_gas=None,
        gas_limit=30_000_000,
    )


def sightings(number: int, recipients: Sequence[Address]) -> list[Sighting]:
    """One exact payment to each."""
    return [
        Sighting(
            chain=CHAIN,
            token_address=USDC,
            sender=Address(b"\x99" * 20),
            recipient=recipient,
            amount=Amount(HIT_UNITS),
            tx_hash=_hash("tx", number, index),
            ordinal=0,
            log_index=index,
            block_number=BlockNumber(number),
            block_hash=_hash("block", number),
            block_time=block_time(FIRST_TIME + 2 * number),
        )
        for index, recipient in enumerate(recipients)
    ]


def _hash(*parts: object) -> Hash32:
    return Hash32(blake2b(repr(parts).encode(), digest_size=32).digest())


# --- what a database can do at most -----------------------------------------------------

_TABLES: Final = ("bare_payments", "bare_transfers", "bare_events")
_COLUMNS: Final = "id TEXT PRIMARY KEY, hash {blob}, amount TEXT, data TEXT"
_DATA: Final = '{"id": "pay_…", "status": "detected", "amount": "10.00"}'


def _rows(block: int) -> list[tuple[str, bytes, str, str]]:
    return [
        (f"id_{block:08d}_{i:04d}", _hash("bare", block, i), f"{HIT_UNITS:078d}", _DATA)
        for i in range(PER_BLOCK)
    ]


def bare_sqlite(path: Path, count: int) -> float:
    """Deposits a second, as three rows each, committed by hundreds with ``synchronous=FULL``."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        for table in _TABLES:
            db.execute(f"CREATE TABLE {table} ({_COLUMNS.format(blob='BLOB')})")
        blocks = [_rows(block) for block in range(count // PER_BLOCK)]
        began = time.perf_counter()
        for rows in blocks:
            db.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                db.executemany(f"INSERT INTO {table} VALUES (?,?,?,?)", rows)
            db.execute("COMMIT")
        return count / (time.perf_counter() - began)


async def bare_postgres(url: str, count: int) -> float:
    """The same over asyncpg."""
    db = await asyncpg.connect(url)
    try:
        for table in _TABLES:
            await db.execute(f"CREATE TABLE {table} ({_COLUMNS.format(blob='BYTEA')})")
        blocks = [_rows(block) for block in range(count // PER_BLOCK)]
        began = time.perf_counter()
        for rows in blocks:
            async with db.transaction():
                for table in _TABLES:
                    await db.executemany(f"INSERT INTO {table} VALUES ($1,$2,$3,$4)", rows)
        return count / (time.perf_counter() - began)
    finally:
        await db.close()
