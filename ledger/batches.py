"""Batches: sealed units of work of a lane. Id and content never change; attempts come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address, Hash32
from ledger.bulk import execute
from ledger.schema import batches, payouts, sweep_items
from ledger.states import BatchStatus, check_transition
from ledger.store import Tx

OPEN: Final = ("sealed", "submitted", "executed")


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What P1 seals.

    :param authorizations: EIP-7702 tuples as ``authorizationList`` takes them.
    :param after_batch_id: a batch that must be final before this one is sent.
    """

    chain: str
    lane: str
    purpose: str
    token: str
    content_hash: Hash32
    target: Address
    calldata: bytes
    size: int
    sealed_block: int
    value: int = 0
    epoch: int | None = None
    onchain_id: int | None = None
    authorizations: Sequence[dict[str, Any]] = ()
    after_batch_id: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as stored."""

    id: int
    chain: str
    lane: str
    purpose: str
    token: str
    epoch: int | None
    onchain_id: int | None
    content_hash: Hash32
    target: Address
    value: int
    calldata: bytes
    authorizations: Sequence[dict[str, Any]]
    after_batch_id: int | None
    sealed_block: int
    size: int
    status: BatchStatus


async def seal_batch(tx: Tx, new: NewBatch) -> int:
    """P1: insert it as ``sealed``. An on-chain id used before is refused by the database."""
    row = {name: getattr(new, name) for name in NewBatch.__dataclass_fields__}
    # 256-bit numbers as text: JSON readers elsewhere cut integers at 53 or 64 bits.
    row["authorizations"] = [
        {key: str(value) for key, value in item.items()} for item in new.authorizations
    ] or None
    result = await tx.conn.execute(
        batches.insert().values(**row, status=BatchStatus.SEALED.value, created_at=tx.now)
    )
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


async def next_onchain_id(tx: Tx, chain: str, epoch: int) -> int:
    """Ids are dense from 0, so that 256 batches share a word of the treasury's bitmap."""
    query = sa.select(sa.func.max(batches.c.onchain_id)).where(
        batches.c.chain == chain, batches.c.epoch == epoch
    )
    highest = await tx.conn.scalar(query)
    return 0 if highest is None else int(highest) + 1


async def known_onchain_ids(tx: Tx, chain: str, epochs: Collection[int]) -> set[tuple[int, int]]:
    """(epoch, id) of every batch of these epochs."""
    query = sa.select(batches.c.epoch, batches.c.onchain_id).where(
        batches.c.chain == chain, batches.c.epoch.in_(sorted(epochs))
    )
    return {(row.epoch, row.onchain_id) for row in await tx.conn.execute(query)}


IS_OPEN: Final = batches.c.status.in_([sa.literal_column(f"'{status}'") for status in OPEN])
_OPEN: Final = (
    sa.select(batches)
    .where(batches.c.chain == sa.bindparam("of_chain"), IS_OPEN)
    .order_by(batches.c.id)
)
_OPEN_OF_LANE: Final = _OPEN.where(batches.c.lane == sa.bindparam("of_lane"))


async def open_batches(tx: Tx, chain: str, lane: str | None = None) -> list[Batch]:
    """Batches that are neither final nor void, in the order of their sealing."""
    if lane is None:
        rows = await execute(tx, _OPEN, of_chain=chain)
    else:
        rows = await execute(tx, _OPEN_OF_LANE, of_chain=chain, of_lane=lane)
    return [_batch(row) for row in rows]


_NOT_EXECUTED: Final = (
    sa.select(batches.c.epoch, batches.c.onchain_id, payouts.c.amount)
    .join(payouts, payouts.c.batch_id == batches.c.id)
    .where(
        batches.c.chain == sa.bindparam("of_chain"),
        batches.c.token == sa.bindparam("of_token"),
        IS_OPEN,
        batches.c.status != sa.literal_column("'executed'"),
    )
)


async def not_executed(tx: Tx, chain: str, token: str) -> dict[tuple[int, int], int]:
    """Payout batches of a token that no block holds as far as the books know: base units of each,
    by epoch and on-chain id."""
    sums: Counter[tuple[int, int]] = Counter()
    for row in await execute(tx, _NOT_EXECUTED, of_chain=chain, of_token=token):
        sums[row["epoch"], row["onchain_id"]] += row["amount"]
    return dict(sums)


OPEN_LANES: Final = (
    sa.select(batches.c.lane).where(batches.c.chain == sa.bindparam("of_chain"), IS_OPEN).distinct()
)


async def open_lanes(tx: Tx, chain: str) -> set[str]:
    """Lanes that have a batch which is neither final nor void."""
    return {row["lane"] for row in await execute(tx, OPEN_LANES, of_chain=chain)}


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A batch that is neither final nor void; ``after``: the one that must be final before it."""

    id: int
    after: int | None
    token: str


UNFINISHED: Final = (
    sa.select(batches.c.id, batches.c.after_batch_id, batches.c.token)
    .where(
        batches.c.chain == sa.bindparam("of_chain"),
        batches.c.lane == sa.bindparam("of_lane"),
        IS_OPEN,
    )
    .order_by(batches.c.id)
)


async def unfinished_batches(tx: Tx, chain: str, lane: str) -> list[Unfinished]:
    """A lane's, in the order of sealing."""
    rows = await execute(tx, UNFINISHED, of_chain=chain, of_lane=lane)
    return [Unfinished(row["id"], row["after_batch_id"], row["token"]) for row in rows]


async def get_batches(tx: Tx, ids: Sequence[int]) -> dict[int, Batch]:
    """Batches by id."""
    query = sa.select(batches).where(batches.c.id.in_(ids))
    return {row.id: _batch(row._asdict()) for row in await tx.conn.execute(query)}


async def batches_after(tx: Tx, batch_id: int) -> list[Batch]:
    """Those that wait for this one to be final."""
    query = sa.select(batches).where(batches.c.after_batch_id == batch_id, IS_OPEN)
    return [_batch(row._asdict()) for row in await tx.conn.execute(query)]


_TOPPED_UP: Final = (
    sa.select(batches.c.target)
    .where(
        batches.c.chain == sa.bindparam("of_chain"),
        # Spelled as in the index.
        batches.c.purpose == sa.literal_column("'top_up'"),
    )
    .distinct()
)


async def topped_up(tx: Tx, chain: str) -> set[Address]:
    """Accounts that gas was ever sent to."""
    return {Address(row["target"]) for row in await execute(tx, _TOPPED_UP, of_chain=chain)}


async def batch_amount(tx: Tx, batch: Batch) -> int:
    """Base units of the batch's token that it moves."""
    table = payouts if batch.purpose == "payout" else sweep_items
    query = sa.select(table.c.amount).where(table.c.batch_id == batch.id)
    return sum((await tx.conn.execute(query)).scalars())


async def move_batch(tx: Tx, batch: Batch, status: BatchStatus, reason: str | None = None) -> None:
    """Change a batch's status; staying is nothing.

    :raises ConflictError: a step that its state machine does not have.
    """
    current = await tx.conn.scalar(sa.select(batches.c.status).where(batches.c.id == batch.id))
    if current == status.value:
        return
    check_transition("batches", str(current), status)
    done = status in (BatchStatus.FINAL, BatchStatus.VOID)
    await tx.conn.execute(
        batches.update()
        .where(batches.c.id == batch.id)
        .values(status=status.value, reason=reason, final_at=tx.now if done else None)
    )


def _batch(row: Mapping[str, Any]) -> Batch:
    values = {name: row[name] for name in Batch.__dataclass_fields__}
    values["status"] = BatchStatus(row["status"])
    values["authorizations"] = [
        {key: text if key == "address" else int(text) for key, text in item.items()}
        for item in row["authorizations"] or ()
    ]
    return Batch(**values)
