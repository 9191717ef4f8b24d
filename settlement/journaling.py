"""What is about to leave the house, written to the journal outside the database first."""

from __future__ import annotations

import asyncio

from config.units import Address, to_hex
from ledger.attempts import Attempt, attempts_of_batches
from ledger.batches import Batch, get_batches
from ledger.journal_records import (
    AttemptRecord,
    BatchRecord,
    PayoutEntry,
    Record,
    SweepEntry,
)
from ledger.payouts import payouts_of_batch
from ledger.states import TransactionStatus
from ledger.store import Tx
from ledger.sweeps import items_of_batches
from settlement.context import Context


async def write_ahead(ctx: Context, attempt: Attempt, raw: bytes) -> None:
    """Journal bytes before they are sent for the first time, with the batch that they carry out.

    A crash before it: the bytes are in the database only and were never sent. A crash
    after it: journaled again by the next sender, which changes nothing.

    :raises JournalError: nothing may be sent.
    """
    if ctx.journal is None or attempt.status is not TransactionStatus.SIGNED:
        return
    records: list[Record] = []
    key = None
    if attempt.batch_id is not None:
        async with ctx.ledger.reading() as tx:
            batch = (await get_batches(tx, [attempt.batch_id]))[attempt.batch_id]
            key = await batch_key(tx, batch)
            if attempt.attempt == 0:
                records.append(await _batch_record(tx, batch, key))
    names = set(AttemptRecord.__dataclass_fields__) - {"batch_key", "raw"}
    fields = {name: getattr(attempt, name) for name in names}
    records.append(AttemptRecord(**fields, raw=raw, batch_key=key))
    await asyncio.to_thread(ctx.journal.append, *records)


async def batch_key(tx: Tx, batch: Batch) -> str:
    """A batch's name in every copy of the database."""
    if batch.onchain_id is not None:
        return f"{batch.chain}/{batch.epoch}/{batch.onchain_id}"
    first = (await attempts_of_batches(tx, [batch.id]))[0]
    return f"{batch.chain}/{to_hex(first.tx_hash)}"


async def _batch_record(tx: Tx, batch: Batch, key: str) -> BatchRecord:
    rows = await payouts_of_batch(tx, batch.id) if batch.purpose == "payout" else []
    items = await items_of_batches(tx, [batch.id])
    names = set(BatchRecord.__dataclass_fields__) - {"key", "payouts", "sweeps", "authorizations"}
    return BatchRecord(
        key=key,
        **{name: getattr(batch, name) for name in names},
        authorizations=tuple(batch.authorizations),
        payouts=tuple(
            PayoutEntry(
                row["id"],
                row["merchant_id"],
                row["kind"],
                int(row["amount"]),
                Address(row["address"]),
                row["run_id"],
                row["invoice_id"],
            )
            for row in rows
        ),
        sweeps=tuple(
            SweepEntry(item.address, item.derivation_index, item.amount) for item in items
        ),
    )
