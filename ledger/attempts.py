"""Attempts: signed transactions of a lane, stored before they are sent, never deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address, Hash32
from ledger.bulk import execute
from ledger.schema import batches, transactions
from ledger.states import TransactionStatus, check_transition
from ledger.store import Tx

OPEN: Final = ("signed", "broadcast", "mined")
"""Statuses of attempts whose outcome is not final."""


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """What P2 and P4 store: bytes signed and not yet sent. Fees in wei per gas."""

    chain: str
    lane: str
    sender: Address
    nonce: int
    attempt: int
    purpose: str
    batch_id: int | None
    tx_hash: Hash32
    raw: bytes
    gas_limit: int
    max_fee: int
    max_tip: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as stored, but for its bytes (:func:`signed_bytes`): many may be in flight."""

    id: int
    chain: str
    lane: str
    sender: Address
    nonce: int
    attempt: int
    purpose: str
    batch_id: int | None
    tx_hash: Hash32
    gas_limit: int
    max_fee: int
    max_tip: int
    status: TransactionStatus
    reason: str | None
    created_at: datetime
    broadcast_at: datetime | None
    block_number: int | None
    block_hash: Hash32 | None


async def store_attempt(tx: Tx, new: NewAttempt) -> int:
    """P2 or P4. A second unbroadcast attempt on the lane is refused by the database."""
    row = {name: getattr(new, name) for name in NewAttempt.__dataclass_fields__}
    result = await tx.conn.execute(
        transactions.insert().values(
            **row, status=TransactionStatus.SIGNED.value, created_at=tx.now
        )
    )
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


_COLUMNS: Final = tuple(transactions.c[name] for name in Attempt.__dataclass_fields__)
IS_OPEN: Final = transactions.c.status.in_([sa.literal_column(f"'{status}'") for status in OPEN])
"""Spelled as in the index: with bound parameters neither database sees that it fits."""
_OPEN: Final = (
    sa.select(*_COLUMNS)
    .where(transactions.c.chain == sa.bindparam("of_chain"), IS_OPEN)
    .order_by(transactions.c.lane, transactions.c.nonce, transactions.c.attempt)
)
OPEN_OF_LANE: Final = _OPEN.where(transactions.c.lane == sa.bindparam("of_lane"))


async def open_attempts(tx: Tx, chain: str, lane: str | None = None) -> list[Attempt]:
    """Attempts that are not final, in order of nonce, then of attempt."""
    if lane is None:
        rows = await execute(tx, _OPEN, of_chain=chain)
    else:
        rows = await execute(tx, OPEN_OF_LANE, of_chain=chain, of_lane=lane)
    return to_attempts(rows)


def to_attempts(rows: Sequence[Mapping[str, Any]]) -> list[Attempt]:
    """Rows of the table, without their bytes."""
    return [_attempt(row) for row in rows]


async def attempts_on(tx: Tx, chain: str, sender: Address, nonce: int) -> list[Attempt]:
    """Every attempt that ever used a nonce, whatever became of it."""
    query = (
        sa.select(*_COLUMNS)
        .where(
            transactions.c.chain == chain,
            transactions.c.sender == sender,
            transactions.c.nonce == nonce,
        )
        .order_by(transactions.c.attempt)
    )
    return [_attempt(row._asdict()) for row in await tx.conn.execute(query)]


async def attempts_of_batches(tx: Tx, batch_ids: Sequence[int]) -> list[Attempt]:
    """Every attempt at carrying out these batches, whatever became of it."""
    query = (
        sa.select(*_COLUMNS)
        .where(transactions.c.batch_id.in_(batch_ids))
        .order_by(transactions.c.id)
    )
    return [_attempt(row._asdict()) for row in await tx.conn.execute(query)]


async def committed_wei(tx: Tx, chain: str, sender: Address) -> int:
    """What may still leave a sender for what is in flight and in no block, wei.

    The sum that a node holds against the balance when it takes the next one: of each nonce the
    dearest attempt, at its highest price.
    """
    query = (
        sa.select(
            transactions.c.nonce, transactions.c.gas_limit, transactions.c.max_fee, batches.c.value
        )
        .outerjoin(batches, batches.c.id == transactions.c.batch_id)
        .where(
            transactions.c.chain == chain,
            transactions.c.sender == sender,
            IS_OPEN,
            transactions.c.status != "mined",
        )
    )
    dearest: dict[int, int] = {}
    for row in await tx.conn.execute(query):
        wei = row.gas_limit * row.max_fee + (row.value or 0)
        dearest[row.nonce] = max(wei, dearest.get(row.nonce, 0))
    return sum(dearest.values())


async def signed_bytes(tx: Tx, attempt: Attempt) -> bytes:
    """What is sent of it: as signed, whole."""
    query = sa.select(transactions.c.raw).where(transactions.c.id == attempt.id)
    return bytes((await tx.conn.execute(query)).scalar_one())


async def move_attempt(tx: Tx, attempt: Attempt, status: TransactionStatus, **more: Any) -> None:
    """Change an attempt's status, with further columns.

    :raises ConflictError: a step that its state machine does not have.
    """
    check_transition("transactions", attempt.status, status)
    await tx.conn.execute(
        transactions.update()
        .where(transactions.c.id == attempt.id)
        .values(status=status.value, **more)
    )


async def note_broadcast(tx: Tx, attempt: Attempt, reason: str | None) -> None:
    """P3, and every resend: when these bytes were last given to a node, and what it said."""
    status = TransactionStatus.BROADCAST
    if attempt.status is TransactionStatus.SIGNED:
        await move_attempt(tx, attempt, status, broadcast_at=tx.now, reason=reason)
        return
    await tx.conn.execute(
        transactions.update()
        .where(transactions.c.id == attempt.id, transactions.c.status == status.value)
        .values(broadcast_at=tx.now, reason=reason)
    )


def _attempt(row: Mapping[str, Any]) -> Attempt:
    values = {name: row[name] for name in Attempt.__dataclass_fields__}
    values["status"] = TransactionStatus(row["status"])
    return Attempt(**values)
