"""Books in which very many merchants have money that is swept and waits to be paid out.

Invoices, payments and postings are made through the ledger's own doors; the sweeps
of the deposits are one posting, and the tokens are minted straight to the treasury.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import sqlalchemy as sa

from bursar.addresses import own_addresses
from config.catalogue import Catalogue
from config.clock import SystemClock, SystemEntropy
from config.credentials import Secrets
from config.settings import parse_settings
from config.units import Address, Amount, BlockNumber, Hash32, checksum, to_hex
from ledger.books import post
from ledger.bulk import insert_rows
from ledger.cursors import BlockRow, start_cursor
from ledger.invoices import InvoiceSpec, Tolerance, Touched, create_invoices, refresh_invoices
from ledger.pauses import pause, scope_of
from ledger.payment_moves import PaymentMove, move_payments, open_payments
from ledger.payment_rows import PaymentPolicy
from ledger.payment_rules import Sighting
from ledger.payments import record_sightings
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.schema import (
    batches,
    deposit_addresses,
    invoices,
    merchants,
    payments,
    payout_destinations,
    sweep_items,
    transactions,
)
from ledger.states import PaymentStatus
from ledger.store import Ledger, Tx, make_engine
from tests.support.tokens import call_data
from tests.support.world import MNEMONIC, World
from wallets.derivation import DepositDeriver

UNITS: Final = 10_000_000
"""Base units that each merchant is due: 10 USDC."""
CHAIN: Final = "anvil"
SEEDED: Final = "benchmark"
"""Lane of the sweep that was never sent."""
_FAR: Final = datetime(2100, 1, 1, tzinfo=UTC)
_PART: Final = 500
_MINTS: Final = 200
_POLICY: Final = PaymentPolicy()


def merchant_id(number: int) -> str:
    """Ids sort as numbers do."""
    return f"mer_{number:08d}"


def destination(number: int) -> Address:
    """An address that holds nothing yet: the dearer case."""
    return Address(bytes([0xEE]) * 16 + number.to_bytes(4))


async def seed(world: World, count: int, *, swept: bool = True) -> None:
    """``count`` merchants, each with a confirmed payment of :data:`UNITS`.

    :param swept: the money is in the treasury; otherwise at each deposit address.
    """
    text = (world.folder / "bursar.toml").read_text()
    settings = parse_settings(tomllib.loads(text))
    own = own_addresses(settings, Secrets(mnemonic=MNEMONIC))
    usdc = world.tokens["USDC"].address
    deriver = DepositDeriver(own.deposit_xpub)
    if swept:
        await _mint(world, usdc, [own.contracts.treasury], count * UNITS)
    else:
        await _mint(world, usdc, deriver.addresses(0, count), UNITS)
    block = await world.rpc.call("eth_getBlockByNumber", "latest", False)
    ledger = Ledger(
        make_engine(world.database),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        catalogue=Catalogue(settings.chains),
        public_url="http://pay.example",
    )
    row = BlockRow(
        BlockNumber(int(block["number"], 16)),
        Hash32(bytes.fromhex(block["hash"][2:])),
        Hash32(bytes.fromhex(block["parentHash"][2:])),
        datetime.fromtimestamp(int(block["timestamp"], 16), UTC),
    )
    try:
        async with ledger.transaction() as tx:
            await start_cursor(tx, CHAIN, settings.chains[0].chain_id, row)
        for first in range(0, count, _PART):
            numbers = range(first, min(first + _PART, count))
            await _merchants(ledger, numbers)
            await _paid(ledger, numbers, deriver, usdc, row)
        if swept:
            await _swept(ledger, count, row)
        else:
            async with ledger.transaction() as tx:
                await pause(tx, scope_of("sweeps", CHAIN), "benchmark")
    finally:
        await ledger.dispose()


async def _mint(world: World, token: Address, holders: Sequence[Address], units: int) -> None:
    """A few hundred a block."""
    rpc, payer = world.rpc, world.payers[0]
    first_nonce = int(await rpc.call("eth_getTransactionCount", payer, "latest"), 16)

    async def mint(number: int) -> str:
        data = call_data("mint(address,uint256)", checksum(holders[number]), units)
        tx = {"from": payer, "to": to_hex(token), "data": to_hex(data), "gas": hex(100_000)}
        sent = await rpc.call("eth_sendTransaction", {**tx, "nonce": hex(first_nonce + number)})
        return str(sent)

    await rpc.call("evm_setAutomine", False)
    for first in range(0, len(holders), _MINTS):
        numbers = range(first, min(first + _MINTS, len(holders)))
        hashes = await asyncio.gather(*(mint(number) for number in numbers))
        await rpc.call("evm_mine")
        receipt = await rpc.call("eth_getTransactionReceipt", hashes[-1])
        assert receipt is not None, "they fit into one block"
    await rpc.call("evm_setAutomine", True)


async def _merchants(ledger: Ledger, numbers: range) -> None:
    async with ledger.transaction() as tx:
        people = [
            {
                "id": merchant_id(n),
                "name": f"Merchant {n}",
                "created_at": tx.now,
                "next_settlement_at": _FAR,
            }
            for n in numbers
        ]
        insert_rows(tx, merchants, people)
        places = [
            {
                "id": tx.new_id("pd"),
                "merchant_id": merchant_id(n),
                "chain": CHAIN,
                "token": None,
                "address": destination(n),
                "status": "active",
                "created_at": tx.now,
                "active_at": tx.now,
            }
            for n in numbers
        ]
        insert_rows(tx, payout_destinations, places)


async def _paid(
    ledger: Ledger, numbers: range, deriver: DepositDeriver, token: Address, row: BlockRow
) -> None:
    """An invoice each, opened by the first of them and given away before it is paid."""
    spec = InvoiceSpec(
        amount=UNITS,
        currency="USD",
        options=(ledger.catalogue.token(CHAIN, "USDC"),),
        expires_at=_FAR,
        monitor_until=_FAR,
    )
    async with ledger.transaction() as tx:
        ids = await create_invoices(
            tx, merchant_id(numbers[0]), [spec] * len(numbers), deriver.addresses
        )
        given = [{"invoice": i, "owner": merchant_id(n)} for i, n in zip(ids, numbers, strict=True)]
        await tx.conn.execute(
            invoices.update()
            .where(invoices.c.id == sa.bindparam("invoice"))
            .values(merchant_id=sa.bindparam("owner")),
            given,
        )
        query = (
            sa.select(deposit_addresses.c.address)
            .where(deposit_addresses.c.derivation_index >= numbers[0])
            .order_by(deposit_addresses.c.derivation_index)
        )
        addresses = list((await tx.conn.execute(query)).scalars())
    touched = Touched()
    async with ledger.transaction() as tx:
        await record_sightings(tx, _sightings(numbers, addresses, token, row), _POLICY, touched)
        moves = [PaymentMove(p, PaymentStatus.CONFIRMED) for p in await open_payments(tx, CHAIN)]
        await move_payments(tx, moves, _POLICY, touched)
        await refresh_invoices(tx, touched.ids, Tolerance())


def _sightings(
    numbers: range, addresses: Sequence[bytes], token: Address, row: BlockRow
) -> list[Sighting]:
    return [
        Sighting(
            chain=CHAIN,
            token_address=token,
            sender=Address(b"\x99" * 20),
            recipient=Address(address),
            amount=Amount(UNITS),
            tx_hash=Hash32(blake2b(b"%d" % number, digest_size=32).digest()),
            ordinal=0,
            log_index=number,
            block_number=row.number,
            block_hash=row.hash,
            block_time=row.timestamp,
        )
        for number, address in zip(numbers, addresses, strict=True)
    ]


async def _swept(ledger: Ledger, count: int, row: BlockRow) -> None:
    """One sweep took it all, as far as the balance audit asks."""
    async with ledger.transaction() as tx:
        item = await _sweep_item(tx, count, row)
        await tx.conn.execute(payments.update().values(sweep_item_id=item, is_final=True))
        sweep = Transfer(
            "benchmark:swept",
            AccountRef(AccountKind.TREASURY, CHAIN, "USDC"),
            AccountRef(AccountKind.DEPOSITS, CHAIN, "USDC"),
            count * UNITS,
            "sweep",
            "benchmark",
        )
        await post(tx, [sweep])


async def _sweep_item(tx: Tx, count: int, row: BlockRow) -> int:
    """An entry of a sweep that was final in ``row``'s block; its id."""
    nobody, nothing = bytes(20), bytes(32)
    batch = batches.insert().values(
        chain=CHAIN, lane=SEEDED, purpose="sweep", token="USDC", content_hash=nothing,
        target=nobody, value=0, calldata=b"", sealed_block=row.number, size=count,
        status="final", created_at=tx.now, final_at=tx.now,
    )  # fmt: skip
    batch_id = await tx.conn.scalar(batch.returning(batches.c.id))
    attempt = transactions.insert().values(
        chain=CHAIN, lane=SEEDED, sender=nobody, nonce=0, attempt=0, purpose="sweep",
        batch_id=batch_id, tx_hash=nothing, raw=b"", gas_limit=0, max_fee=0, max_tip=0,
        status="final", created_at=tx.now, broadcast_at=tx.now, block_number=row.number,
        block_hash=row.hash, gas_used=0, fee_paid=0, final_at=tx.now,
    )  # fmt: skip
    await tx.conn.execute(attempt)
    item = sweep_items.insert().values(
        batch_id=batch_id, batch_index=0, address=nobody, derivation_index=0, chain=CHAIN,
        token="USDC", amount=count * UNITS, status="swept",
    )  # fmt: skip
    found: int | None = await tx.conn.scalar(item.returning(sweep_items.c.id))
    assert found is not None
    return found
