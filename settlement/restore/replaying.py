"""The journal against the books: what was sent and is missing is written again, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ledger.journal import Journal
from ledger.journal_records import AttemptRecord, BatchRecord
from ledger.leases import Lease, check
from ledger.redo import NotYetError, batch_of_key, redo_attempt, redo_batch, unknown_records
from ledger.store import Ledger, Tx
from settlement.context import Context

_CHUNK = 500

Sent = BatchRecord | AttemptRecord


@dataclass(frozen=True, slots=True)
class Replay:
    """What one pass did. ``waits``: what the first record that could not be written lacks."""

    written: int
    waits: str | None


async def missing_records(ledger: Ledger, journal: Journal, chain: str) -> list[Sent]:
    """The chain's records that the books do not hold, oldest first."""
    found: list[Sent] = []
    records = (r for r in journal.records() if isinstance(r, Sent) and r.chain == chain)
    while part := await asyncio.to_thread(_take, records):
        async with ledger.reading() as tx:
            found += await unknown_records(tx, part)
    return without_stumps(found)


def without_stumps(records: Sequence[Sent]) -> list[Sent]:
    """Without the batches of which nothing was ever sent: a death tore the line of their first
    attempt. Those that have no id on the chain are named by it, and could never be known. Pure."""
    sent = {record.batch_key for record in records if isinstance(record, AttemptRecord)}
    return [
        record
        for record in records
        if isinstance(record, AttemptRecord) or record.onchain_id is not None or record.key in sent
    ]


def _take(records: Iterator[Sent]) -> list[Sent]:
    return list(islice(records, _CHUNK))


async def replay(ctx: Context, lease: Lease, missing: Sequence[Sent], *, force: bool) -> Replay:
    """Write again what can be; each batch with its first attempt in one commit.

    A batch that has to wait holds back later batches, but not attempts at what is here.

    :param force: of batches that would wait, book what is missing by name. Payouts after a
        sweep that was written now wait all the same: what it brings is not final yet.
    """
    written, waits = 0, None
    brings = False
    done: set[int] = set()
    for place, record in enumerate(missing):
        is_batch = isinstance(record, BatchRecord)
        forced = force and is_batch and not (brings and record.purpose == "payout")
        if place in done or (waits is not None and is_batch and not forced):
            continue
        try:
            done |= await _committed(ctx, lease, missing, place, force=False)
        except NotYetError as error:
            waits = waits or str(error)
            if not forced:
                continue
            try:
                done |= await _committed(ctx, lease, missing, place, force=True)
            except NotYetError:
                continue
        written += 1
        brings = brings or (is_batch and record.purpose != "payout")
    return Replay(written, waits)


async def _committed(
    ctx: Context, lease: Lease, missing: Sequence[Sent], place: int, *, force: bool
) -> set[int]:
    async with ctx.ledger.transaction() as tx:
        await check(tx, lease)
        return await _redo(tx, missing, place, force=force)


async def _redo(tx: Tx, missing: Sequence[Sent], place: int, *, force: bool) -> set[int]:
    """Places that were written."""
    record = missing[place]
    if isinstance(record, AttemptRecord):
        await _attempt(tx, record)
        return {place}
    batch_id = await redo_batch(tx, record, force=force)
    following = missing[place + 1] if place + 1 < len(missing) else None
    if isinstance(following, AttemptRecord) and following.batch_key == record.key:
        await redo_attempt(tx, following, batch_id)
        return {place, place + 1}
    return {place}


async def _attempt(tx: Tx, record: AttemptRecord) -> None:
    if not await unknown_records(tx, [record]):
        return  # journaled twice, by whoever sent it again after a crash
    batch_id = None
    if record.batch_key is not None:
        batch_id = await batch_of_key(tx, record.batch_key)
        if batch_id is None:
            raise NotYetError("its batch is not known", where=record.batch_key)
    await redo_attempt(tx, record, batch_id)
