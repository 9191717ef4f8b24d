"""Writing again what a restored database has forgotten: batches, their entries, their attempts.

The journal's records are replayed in their order, as P1 and P2 once wrote them; from
there on the ordinary road finishes them, by what the chain says. Where the books lack
what such a step draws on, because it came in after the backup, the step waits until the
watcher has caught up. What is missing then was lost for good with the database, and is
named: the merchant's part as a receivable, the treasury's as suspense.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError
from config.units import Address
from ledger.attempts import NewAttempt
from ledger.batches import NewBatch, seal_batch
from ledger.books import post, totals_of
from ledger.journal_records import AttemptRecord, BatchRecord, PayoutEntry, SweepEntry
from ledger.lanes import open_lane, settle_nonce
from ledger.payouts import PayoutMove, lock_payouts, move_payouts, put_into_batch
from ledger.postings import AccountKind, AccountRef, Transfer, available
from ledger.refunded import recall_refunds
from ledger.schema import batches, deposit_addresses, invoices, merchants, payments, payouts
from ledger.schema import transactions as attempts
from ledger.sql import as_row, chunked
from ledger.states import PayoutStatus
from ledger.store import Tx
from ledger.sweeps import Deposit, seal_items
from ledger.views import Row

_BEFORE_BATCH: Final = ("pending_approval", "queued", "on_hold")


class NotYetError(ConflictError):
    """The books lack what the step draws on; the watcher or the chain may still bring it."""


async def unknown_records(
    tx: Tx, records: Sequence[BatchRecord | AttemptRecord]
) -> list[BatchRecord | AttemptRecord]:
    """Those that the database does not hold, in order.

    A batch without an on-chain id is known by its transactions.
    """
    hashes: list[bytes] = [r.tx_hash for r in records if isinstance(r, AttemptRecord)]
    hashes += [_hash_in(r.key) for r in records if isinstance(r, BatchRecord) and not _has_id(r)]
    sent: set[bytes] = set()
    for part in chunked(sorted(set(hashes))):
        query = sa.select(attempts.c.tx_hash).where(attempts.c.tx_hash.in_(part))
        sent |= set((await tx.conn.execute(query)).scalars())
    sealed = await _sealed_ids(tx, [r for r in records if isinstance(r, BatchRecord)])

    def known(record: BatchRecord | AttemptRecord) -> bool:
        if isinstance(record, AttemptRecord):
            return record.tx_hash in sent
        if _has_id(record):
            return (record.chain, record.epoch, record.onchain_id) in sealed
        return _hash_in(record.key) in sent

    return [record for record in records if not known(record)]


def _has_id(record: BatchRecord) -> bool:
    return record.onchain_id is not None


def _hash_in(key: str) -> bytes:
    return bytes.fromhex(key.rpartition("/0x")[2])


async def _sealed_ids(
    tx: Tx, records: Sequence[BatchRecord]
) -> set[tuple[str, int | None, int | None]]:
    found: set[tuple[str, int | None, int | None]] = set()
    for chain, epoch in {(r.chain, r.epoch) for r in records if _has_id(r)}:
        ids = {r.onchain_id for r in records if (r.chain, r.epoch) == (chain, epoch)}
        for part in chunked(sorted(i for i in ids if i is not None)):
            query = sa.select(batches.c.onchain_id).where(
                batches.c.chain == chain, batches.c.epoch == epoch, batches.c.onchain_id.in_(part)
            )
            found |= {(chain, epoch, i) for i in (await tx.conn.execute(query)).scalars()}
    return found


async def redo_batch(tx: Tx, record: BatchRecord, *, force: bool) -> int:
    """P1 again; returns the batch's id in this database.

    :param force: nothing more will come: book what is missing by name.
    :raises NotYetError: something is missing and may still come.
    """
    sealed = await _unsent_twin(tx, record)
    if sealed is not None:
        return sealed
    names = set(NewBatch.__dataclass_fields__) - {"size", "after_batch_id"}
    size = len(record.payouts) + len(record.sweeps) or 1
    new = NewBatch(**{name: getattr(record, name) for name in names}, size=size)
    batch_id = await seal_batch(tx, new)
    if record.purpose == "payout":
        rows = [await _ready_payout(tx, record, entry, force=force) for entry in record.payouts]
        total = sum(entry.amount for entry in record.payouts)
        await _cover_treasury(tx, record.chain, record.token, total, record.key, force=force)
        if rows:
            await put_into_batch(tx, rows, batch_id)
        # Asked for again where nobody knew of these: more than came in, now.
        await recall_refunds(tx, {row["invoice_id"] for row in rows if row["invoice_id"]})
    elif record.sweeps:
        deposits = [await _deposit(tx, record, entry, force=force) for entry in record.sweeps]
        await seal_items(tx, record.chain, batch_id, deposits)
    return batch_id


async def _unsent_twin(tx: Tx, record: BatchRecord) -> int | None:
    """The same batch where the backup was made between its sealing and its first signature."""
    if _has_id(record):
        return await batch_of_key(tx, record.key)
    sent = sa.select(attempts.c.batch_id).where(attempts.c.batch_id.is_not(None))
    query = sa.select(batches.c.id).where(
        batches.c.chain == record.chain,
        batches.c.lane == record.lane,
        batches.c.purpose == record.purpose,
        batches.c.content_hash == record.content_hash,
        batches.c.target == record.target,
        batches.c.status == "sealed",
        batches.c.id.not_in(sent),
    )
    found = await tx.conn.scalar(query.order_by(batches.c.id).limit(1))
    return None if found is None else int(found)


async def _ready_payout(tx: Tx, record: BatchRecord, entry: PayoutEntry, *, force: bool) -> Row:
    """The payout as ``queued``, made again where the database has lost it."""
    found = await lock_payouts(tx, [entry.id])
    if not found:
        return await _lost_payout(tx, record, entry, force=force)
    row = found[0]
    if row["status"] == PayoutStatus.QUEUED:
        return row
    if row["status"] == PayoutStatus.CANCELED:
        # Taken back before these books knew that it had left: that promise is over for good, and
        # what was paid is another one.
        again = replace(entry, id=tx.new_id("po"))
        return await _lost_payout(tx, record, again, force=force)
    if row["status"] not in _BEFORE_BATCH:
        raise NotYetError(f"is {row['status']} in another batch", where=entry.id)
    await move_payouts(tx, [PayoutMove(row, PayoutStatus.QUEUED)])
    return (await lock_payouts(tx, [entry.id]))[0]


async def _lost_payout(tx: Tx, record: BatchRecord, entry: PayoutEntry, *, force: bool) -> Row:
    owner = AccountRef(AccountKind.MERCHANT, record.chain, record.token, entry.merchant_id)
    known = await tx.conn.scalar(
        sa.select(merchants.c.id).where(merchants.c.id == entry.merchant_id)
    )
    has = available(AccountKind.MERCHANT, (await totals_of(tx, [owner]))[owner])
    missing = max(entry.amount - max(has, 0), 0)
    if (missing or known is None) and not force:
        raise NotYetError(f"{missing} base units are missing", where=str(owner))
    if known is None:
        await tx.conn.execute(
            merchants.insert().values(
                id=entry.merchant_id, name=f"restored {entry.merchant_id}", created_at=tx.now
            )
        )
    debt = AccountRef(AccountKind.RECEIVABLE, record.chain, record.token, entry.merchant_id)
    owed = Transfer(f"{entry.id}:restored", debt, owner, missing, "restored payout", entry.id)
    await post(tx, [owed])
    return await insert_payout(tx, record.chain, record.token, entry)


async def insert_payout(tx: Tx, chain: str, token: str, entry: PayoutEntry) -> Row:
    """A payout under its own id, ``queued``, with its reserve; tells nobody."""
    row: dict[str, Any] = {
        "id": entry.id,
        "merchant_id": entry.merchant_id,
        "kind": entry.kind,
        "chain": chain,
        "token": token,
        "amount": entry.amount,
        "fee": 0,
        "address": entry.address,
        "status": PayoutStatus.QUEUED.value,
        "attempt": 0,
        "run_id": entry.run_id,
        "invoice_id": await _known_invoice(tx, entry.invoice_id),
        "created_at": tx.now,
    }
    await tx.conn.execute(payouts.insert().values(row))
    owner = AccountRef(AccountKind.MERCHANT, chain, token, entry.merchant_id)
    clearing = AccountRef(AccountKind.PAYOUTS, chain, token, entry.merchant_id)
    key = f"{entry.id}:reserve"
    await post(tx, [Transfer(key, owner, clearing, entry.amount, "payout", entry.id, "pending")])
    if entry.kind == "settlement":
        await _settle_payments(tx, row)
    return (await lock_payouts(tx, [entry.id]))[0]


async def _known_invoice(tx: Tx, invoice_id: str | None) -> str | None:
    """The same, unless it was lost with the database."""
    found = await tx.conn.scalar(sa.select(invoices.c.id).where(invoices.c.id == invoice_id))
    return None if found is None else str(found)


async def _settle_payments(tx: Tx, row: Mapping[str, Any]) -> None:
    """The merchant's confirmed payments that no payout has settled count as settled by this one."""
    await tx.conn.execute(
        payments.update()
        .where(
            payments.c.merchant_id == row["merchant_id"],
            payments.c.chain == row["chain"],
            payments.c.token == row["token"],
            payments.c.status == "confirmed",
            payments.c.payout_id.is_(None),
            payments.c.held.is_(False),
        )
        .values(payout_id=row["id"])
    )


async def _cover_treasury(
    tx: Tx, chain: str, token: str, amount: int, key: str, *, force: bool
) -> None:
    """The treasury can be drawn on: what it lacks came in by a road that was forgotten."""
    treasury = AccountRef(AccountKind.TREASURY, chain, token)
    has = available(AccountKind.TREASURY, (await totals_of(tx, [treasury]))[treasury])
    missing = max(amount - max(has, 0), 0)
    if missing and not force:
        raise NotYetError(f"{missing} base units are missing", where=str(treasury))
    suspense = AccountRef(AccountKind.SUSPENSE_IN, chain, token)
    await post(
        tx,
        [Transfer(f"{key}:uncovered", treasury, suspense, missing, "restored payout", key)],
    )


async def _deposit(tx: Tx, record: BatchRecord, entry: SweepEntry, *, force: bool) -> Deposit:
    """The payments that an entry swept; where they are lost, the money comes out of suspense."""
    query = (
        sa.select(payments)
        .where(
            payments.c.chain == record.chain,
            payments.c.token == record.token,
            payments.c.recipient == entry.address,
            payments.c.status == "confirmed",
            payments.c.sweep_item_id.is_(None),
            payments.c.held.is_(False),
        )
        .order_by(payments.c.id)
        .with_for_update()
    )
    rows = [as_row(row) for row in await tx.conn.execute(query)]
    chosen, total = _summing_to(rows, entry.amount)
    if total != entry.amount:
        if not force:
            raise NotYetError(
                f"its payments of {record.token} are not confirmed yet",
                where="0x" + entry.address.hex(),
            )
        key = f"{record.key}/{entry.address.hex()}:lost"
        deposits = AccountRef(AccountKind.DEPOSITS, record.chain, record.token)
        suspense = AccountRef(AccountKind.SUSPENSE_IN, record.chain, record.token)
        missing = entry.amount - total
        lost = Transfer(key, deposits, suspense, missing, "restored sweep", key)
        await post(tx, [lost])
    ids = tuple(row["id"] for row in chosen)
    place = (entry.address, entry.derivation_index, record.token)
    return Deposit(*place, entry.amount, ids, since=tx.now, newest=tx.now)


def _summing_to(rows: Sequence[Row], amount: int) -> tuple[list[Row], int]:
    """The oldest payments that fit into the amount, and their sum."""
    chosen: list[Row] = []
    total = 0
    for row in rows:
        if total + row["amount"] <= amount:
            chosen.append(row)
            total += row["amount"]
    return chosen, total


async def redo_attempt(tx: Tx, record: AttemptRecord, batch_id: int | None) -> None:
    """P2 or P4 again, as broadcast: it may be out there, and is followed by its hash.

    :param batch_id: what it carries out, in this database.
    """
    await open_lane(tx, record.chain, record.lane, record.sender, record.nonce)
    settled = sa.select(attempts.c.id).where(
        attempts.c.chain == record.chain,
        attempts.c.sender == record.sender,
        attempts.c.nonce == record.nonce,
        attempts.c.status.in_(("final", "reverted")),
    )
    over = await tx.conn.scalar(settled) is not None
    names = set(NewAttempt.__dataclass_fields__) - {"batch_id"}
    await tx.conn.execute(
        attempts.insert().values(
            **{name: getattr(record, name) for name in names},
            batch_id=batch_id,
            status="replaced" if over else "broadcast",
            reason="from the journal",
            created_at=tx.now,
            broadcast_at=tx.now,
        )
    )
    await settle_nonce(tx, record.chain, record.lane, record.nonce + 1)


async def batch_of_key(tx: Tx, key: str) -> int | None:
    """The batch that a key names, in this database."""
    chain, _, rest = key.partition("/")
    if rest.startswith("0x"):
        query = sa.select(attempts.c.batch_id).where(attempts.c.tx_hash == _hash_in(key))
    else:
        epoch, _, onchain_id = rest.partition("/")
        query = sa.select(batches.c.id).where(
            batches.c.chain == chain,
            batches.c.epoch == int(epoch),
            batches.c.onchain_id == int(onchain_id),
        )
    found = await tx.conn.scalar(query)
    return None if found is None else int(found)


async def known_deposits(tx: Tx, candidates: Collection[Address]) -> dict[Address, int]:
    """Derivation index of those that are our deposit addresses."""
    found: dict[Address, int] = {}
    for part in chunked(sorted(set(candidates))):
        query = sa.select(deposit_addresses.c.address, deposit_addresses.c.derivation_index).where(
            deposit_addresses.c.address.in_(part)
        )
        for row in await tx.conn.execute(query):
            found[Address(row.address)] = row.derivation_index
    return found
