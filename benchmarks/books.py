"""Books with very many open invoices, made once and copied for each measurement.

The first :data:`TEMPLATE` invoices are opened through the product's own door;
the others are their rows again, with ids, addresses and indexes of their own.
Opening a million one by one is a measurement by itself (``invoices import``).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.replay.chain import HIT_UNITS, XPUB
from benchmarks.stage import CHAIN, open_ledger
from bursar.output import progress
from config.units import Address, checksum
from ledger.invoices import InvoiceSpec, create_invoices
from ledger.migrate import upgrade
from ledger.schema import merchants
from ledger.store import Ledger
from wallets.derivation import DepositDeriver

MERCHANT: Final = "mer_bench"
TEMPLATE: Final = 1_000
_FAR: Final = datetime(2100, 1, 1, tzinfo=UTC)
_BATCH: Final = 500
_PART: Final = 20_000
_ROOM: Final = 6_000
"""Bytes of disk that an open invoice takes, generously."""


def sqlite_url(path: Path) -> str:
    """For SQLAlchemy."""
    return f"sqlite+aiosqlite:///{path}"


async def open_invoices(ledger: Ledger, count: int) -> None:
    """A merchant with ``count`` open invoices of 10 USDC; invoice *i* has deposit address *i*."""
    deriver = DepositDeriver(XPUB)
    spec = InvoiceSpec(
        amount=HIT_UNITS,
        currency="USD",
        options=(ledger.catalogue.token(CHAIN, "USDC"),),
        expires_at=_FAR,
        monitor_until=_FAR,
        reference="bench",
    )
    async with ledger.transaction() as tx:
        await tx.conn.execute(
            merchants.insert().values(id=MERCHANT, name="Benchmark", created_at=tx.now)
        )
    for start in range(0, count, _BATCH):
        specs = [spec] * min(_BATCH, count - start)
        async with ledger.transaction() as tx:
            await create_invoices(tx, MERCHANT, specs, deriver.addresses)


async def prepare(url: str, invoices: int) -> None:
    """An empty database to books with open invoices, all through the product's own door."""
    await upgrade(url)
    ledger = open_ledger(url)
    try:
        await open_invoices(ledger, invoices)
    finally:
        await ledger.dispose()


async def count_rows(ledger: Ledger, table: str) -> int:
    """Rows in one of our tables."""
    async with ledger.reading() as tx:
        query = sa.select(sa.func.count()).select_from(sa.table(table))
        return int(await tx.conn.scalar(query) or 0)


class Cache:
    """Prepared SQLite files, kept between runs outside the repository.

    :param root: ``BENCH_CACHE`` or a folder under the system's temporary one.
    """

    def __init__(self, root: Path | None = None) -> None:
        chosen = os.environ.get("BENCH_CACHE")
        self.root = root or (
            Path(chosen) if chosen else Path(tempfile.gettempdir()) / "bursar-benchmarks"
        )
        self.root.mkdir(parents=True, exist_ok=True)
        self._schema: str | None = None

    def books(self, invoices: int) -> Path:
        """A file with so many open invoices at today's schema; blocking, made where missing.

        Not to be written to: use :meth:`copy`.
        """
        path = self.root / f"books-{invoices}-{self._schema_hash()}.db"
        if path.exists():
            return path
        for old in self.root.glob(f"books-{invoices}-*"):
            old.unlink()
        if shutil.disk_usage(self.root).free < 3 * invoices * _ROOM:
            raise RuntimeError(f"{self.root}: too little disk for {invoices:,} invoices, thrice")
        part = path.with_suffix(".part")
        asyncio.run(prepare(sqlite_url(part), min(invoices, TEMPLATE)))
        with closing(sqlite3.connect(part)) as db:
            multiply(db, invoices)
            # A copy takes no write-ahead log along.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        part.rename(path)
        return path

    def copy(self, invoices: int, folder: Path, name: str) -> Path:
        """Prepared books of a measurement's own."""
        target = folder / name
        shutil.copyfile(self.books(invoices), target)
        return target

    def _schema_hash(self) -> str:
        if self._schema is None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "empty.db"
                asyncio.run(upgrade(sqlite_url(path)))
                with closing(sqlite3.connect(path)) as db:
                    rows = db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
            self._schema = hashlib.sha256(repr(rows).encode()).hexdigest()[:12]
        return self._schema


def multiply(db: sqlite3.Connection, wanted: int) -> None:
    """Repeat the invoices of these books until there are ``wanted``."""
    templates = _Templates(db)
    deriver = DepositDeriver(XPUB)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA foreign_keys=OFF")
    with progress(f"preparing {wanted:,} open invoices", wanted) as bar:
        bar.advance(templates.count)
        for start in range(templates.count, wanted, _PART):
            count = min(_PART, wanted - start)
            addresses = deriver.addresses(start, count)
            with db:
                templates.write(start, addresses)
            bar.advance(count)
    with db:
        db.execute("UPDATE address_counter SET next_index = ?", (wanted,))
    db.execute("PRAGMA foreign_keys=ON")


class _Templates:
    """The rows that opening an invoice wrote, to be written again."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = {
            "invoices": self._read("invoices", "id"),
            "deposit_addresses": self._read("deposit_addresses", "invoice_id"),
            "invoice_options": self._read("invoice_options", "invoice_id"),
            "events": self._read("events", "object_id"),
        }
        self.count = len(self._rows["invoices"])

    def _read(self, table: str, invoice: str) -> list[dict[str, Any]]:
        """Rows in one order for all tables: the id of the invoice is in column ``invoice``."""
        cursor = self._db.execute(f"SELECT * FROM {table} ORDER BY {invoice}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def write(self, first: int, addresses: Sequence[Address]) -> None:
        """Invoices ``first …`` at these addresses."""
        made: dict[str, list[dict[str, Any]]] = {table: [] for table in self._rows}
        for index, address in enumerate(addresses, first):
            old = self._rows["invoices"][index % self.count]
            event = self._rows["events"][index % self.count]
            own_id = _renumbered(old["id"], index)
            text = event["data"].replace(old["id"], own_id)
            made["invoices"].append({**old, "id": own_id, "address": address})
            made["deposit_addresses"].append(
                {
                    **self._rows["deposit_addresses"][index % self.count],
                    "derivation_index": index,
                    "address": address,
                    "invoice_id": own_id,
                }
            )
            made["invoice_options"].append(
                {**self._rows["invoice_options"][index % self.count], "invoice_id": own_id}
            )
            made["events"].append(
                {
                    **event,
                    "seq": None,
                    "id": _renumbered(event["id"], index),
                    "object_id": own_id,
                    "data": text.replace(checksum(old["address"]), "0x" + address.hex()),
                }
            )
        for table, rows in made.items():
            names = list(rows[0])
            sql = f"INSERT INTO {table} ({','.join(map(_quoted, names))}) VALUES "
            self._db.executemany(
                sql + f"({','.join('?' * len(names))})",
                [[row[name] for name in names] for row in rows],
            )


def _renumbered(own_id: str, index: int) -> str:
    return f"{own_id[:-7]}{index:07d}"


def _quoted(name: str) -> str:
    return f'"{name}"'
