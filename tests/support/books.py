"""A ledger to test on: two chains, four tokens, merchants, invoices, sightings."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from config.catalogue import Catalogue
from config.chains import ChainSettings
from config.units import Address, Amount, BlockNumber, Hash32
from ledger.cursors import BlockMark, BlockRow, advance_cursor, get_cursor, rewind, start_cursor
from ledger.invoices import (
    InvoiceSpec,
    Tolerance,
    Touched,
    create_invoices,
    load_views,
    refresh_invoices,
)
from ledger.payment_moves import PaymentMove, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payment_rules import Sighting
from ledger.payments import Recorded, record_sightings
from ledger.schema import merchants
from ledger.states import PaymentStatus
from ledger.store import Ledger, make_engine
from tests.support.clock import ManualClock, SeededEntropy

USDC = Address(b"\x11" * 20)
USDT = Address(b"\x22" * 20)
DAI = Address(b"\x33" * 20)
BRIDGED = Address(b"\x44" * 20)
STRANGER_TOKEN = Address(b"\x55" * 20)
PAYER = Address(b"\x99" * 20)


def token(
    symbol: str, address: bytes, decimals: int = 6, *, flagged: bool = False
) -> dict[str, object]:
    return {
        "symbol": symbol,
        "address": "0x" + address.hex(),
        "decimals": decimals,
        "currency": "USD",
        "flagged": flagged,
    }


def test_catalogue(*more: dict[str, object], usdc: dict[str, object] | None = None) -> Catalogue:
    """:param more: tokens of the first chain, beside the four; :param usdc: in place of its USDC."""
    chains = [
        {
            "name": "anvil",
            "chain_id": 31337,
            "rpc_urls": ["http://127.0.0.1:1"],
            "finality": {"confirmations": 3},
            "tokens": [
                usdc or token("USDC", USDC),
                token("USDT", USDT),
                token("DAI", DAI, 18),
                token("USDC.e", BRIDGED, flagged=True),
                *more,
            ],
        },
        {
            "name": "other",
            "chain_id": 31338,
            "rpc_urls": ["http://127.0.0.1:1"],
            "finality": {"confirmations": 3},
            "tokens": [token("USDC", USDC)],
        },
    ]
    return Catalogue([ChainSettings.model_validate(chain) for chain in chains])


test_catalogue.__test__ = False  # type: ignore[attr-defined]


def digest(*parts: object) -> Hash32:
    """A hash that depends on the parts alone."""
    return Hash32(hashlib.sha256(repr(parts).encode()).digest())


def deposit_addresses(first: int, count: int) -> list[Address]:
    """Stand-in for the xpub: an address per index."""
    return [Address(digest("deposit", i)[:20]) for i in range(first, first + count)]


@dataclass
class Books:
    """Drives a ledger as the watcher would, block by block, on a chain of hashes."""

    ledger: Ledger
    clock: ManualClock
    policy: PaymentPolicy = field(default_factory=PaymentPolicy)
    tolerance: Tolerance = field(default_factory=Tolerance)

    async def merchant(self, merchant_id: str = "mer_1", fee_bps: int | None = None) -> str:
        async with self.ledger.transaction() as tx:
            await tx.conn.execute(
                merchants.insert().values(
                    id=merchant_id, name=merchant_id, created_at=tx.now, fee_bps=fee_bps
                )
            )
        return merchant_id

    async def invoice(
        self,
        amount: int = 10_000000,
        *,
        merchant_id: str = "mer_1",
        tokens: Sequence[tuple[str, str]] = (
            ("anvil", "USDC"),
            ("anvil", "USDT"),
            ("anvil", "DAI"),
        ),
        expires_in: timedelta = timedelta(minutes=30),
        monitor_for: timedelta = timedelta(hours=24),
    ) -> tuple[str, Address]:
        """Opens one invoice; returns its id and deposit address."""
        catalogue = self.ledger.catalogue
        spec = InvoiceSpec(
            amount=amount,
            currency="USD",
            options=tuple(catalogue.token(chain, symbol) for chain, symbol in tokens),
            expires_at=self.clock.now() + expires_in,
            monitor_until=self.clock.now() + expires_in + monitor_for,
        )
        async with self.ledger.transaction() as tx:
            (invoice_id,) = await create_invoices(tx, merchant_id, [spec], deposit_addresses)
            view = (await load_views(tx, [invoice_id]))[invoice_id]
        return invoice_id, Address(bytes.fromhex(view["address"][2:]))

    async def start(self, chain: str = "anvil") -> None:
        async with self.ledger.transaction() as tx:
            await start_cursor(tx, chain, 31337, self.block(0))

    def block(self, number: int, fork: str = "") -> BlockRow:
        return BlockRow(
            BlockNumber(number),
            digest("block", number, fork) if number else digest("block", 0, ""),
            digest("block", number - 1, fork if number > 1 else ""),
            self.clock.now(),
        )

    def sighting(self, to: Address, units: int, **changes: object) -> Sighting:
        block = changes.pop("block", None) or self.block(1)
        assert isinstance(block, BlockRow)
        made = Sighting(
            chain="anvil",
            token_address=USDC,
            sender=PAYER,
            recipient=to,
            amount=Amount(units),
            tx_hash=digest("tx", to, units),
            ordinal=0,
            log_index=0,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.timestamp,
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    async def record(self, *found: Sighting) -> Recorded:
        touched = Touched()
        async with self.ledger.transaction() as tx:
            recorded = await record_sightings(tx, found, self.policy, touched)
            await refresh_invoices(tx, touched.ids, self.tolerance)
        return recorded

    async def confirm_all(self, status: PaymentStatus = PaymentStatus.CONFIRMED) -> None:
        touched = Touched()
        async with self.ledger.transaction() as tx:
            moves = [PaymentMove(p, status) for p in await open_payments(tx, "anvil")]
            await move_payments(tx, moves, self.policy, touched)
            await refresh_invoices(tx, touched.ids, self.tolerance)

    async def advance(self, *blocks: BlockRow, final: BlockRow | None = None) -> None:
        async with self.ledger.transaction() as tx:
            cursor = await get_cursor(tx, "anvil")
            assert cursor is not None
            mark = cursor.final if final is None else BlockMark(final.number, final.hash)
            await advance_cursor(
                tx, "anvil", expected=cursor.cursor, new_blocks=blocks, top=blocks[-1], final=mark
            )

    async def rewind_to(self, ancestor: BlockRow) -> None:
        touched = Touched()
        async with self.ledger.transaction() as tx:
            cursor = await get_cursor(tx, "anvil")
            assert cursor is not None
            await rewind(
                tx,
                "anvil",
                expected=cursor.cursor,
                ancestor=ancestor,
                policy=self.policy,
                touched=touched,
            )
            await refresh_invoices(tx, touched.ids, self.tolerance)

    async def view(self, invoice_id: str) -> dict[str, object]:
        async with self.ledger.reading() as tx:
            return (await load_views(tx, [invoice_id]))[invoice_id]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
async def books(migrated_url: str) -> AsyncIterator[Books]:
    clock = ManualClock()
    ledger = Ledger(
        make_engine(migrated_url),
        clock=clock,
        entropy=SeededEntropy(),
        catalogue=test_catalogue(),
        public_url="http://pay.example",
    )
    made = Books(ledger, clock)
    await made.merchant()
    await made.start()
    yield made
    await ledger.dispose()
