"""Sweeps in the store: confirmed payments gathered into items, one per address and token.

::

    sealed    pending   deposits → treasury   sweep:{item}
    swept     post      it; what a token kept for itself is a loss
    failed    void      it; the payments can be swept again
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError
from config.units import Address
from ledger.batches import IS_OPEN
from ledger.books import post, posted_keys, second_step
from ledger.bulk import execute, insert_rows, select_in, update_rows
from ledger.postings import AccountKind, AccountRef, Posting, Resolution, Transfer
from ledger.schema import batches, deposit_addresses, payments, sweep_items
from ledger.sql import chunked
from ledger.store import Tx

_FREE: Final = (
    sa.select(payments.c.id)
    .where(
        payments.c.status == sa.literal_column("'confirmed'"), payments.c.sweep_item_id.is_(None)
    )
    .order_by(payments.c.id)
    .with_for_update()
)
"""Locked in one order: a reversal that comes between waits for the seal, or is seen by it."""


Place = tuple[str, Address]
"""A merchant's deposit address: in this order they are looked through."""
BEGINNING: Final[Place] = ("", Address(b""))
MOST_PAYMENTS: Final = 20_000
"""Looked at at once."""
_UNSWEPT: Final = (
    sa.select(
        payments.c.id,
        payments.c.merchant_id,
        payments.c.recipient,
        payments.c.amount,
        payments.c.confirmed_at,
        deposit_addresses.c.derivation_index,
    )
    .join(deposit_addresses, deposit_addresses.c.address == payments.c.recipient)
    .where(
        payments.c.chain == sa.bindparam("of_chain"),
        payments.c.token == sa.bindparam("of_token"),
        # Spelled as in the index, which holds nothing else and has this order.
        sa.text("payments.status = 'confirmed' AND payments.sweep_item_id IS NULL"),
        sa.tuple_(payments.c.merchant_id, payments.c.recipient)
        > sa.tuple_(
            sa.bindparam("merchant", type_=sa.Text()),
            sa.bindparam("account", type_=sa.LargeBinary()),
        ),
        payments.c.held.is_(False),
    )
    .order_by(payments.c.merchant_id, payments.c.recipient)
    .limit(sa.bindparam("most", type_=sa.Integer()))
    .offset(sa.literal_column("0"))
)


@dataclass(frozen=True, slots=True)
class Deposit:
    """What confirmed payments left at one address in one token, not swept yet."""

    address: Address
    derivation_index: int
    token: str
    amount: int
    payment_ids: tuple[str, ...]
    since: datetime
    """When the oldest of them was confirmed."""
    newest: datetime
    """When the last of them was."""


@dataclass(frozen=True, slots=True)
class SweepItem:
    """One entry of a sealed sweep."""

    id: int
    batch_id: int
    batch_index: int
    address: Address
    derivation_index: int
    chain: str
    token: str
    amount: int
    status: str


async def unswept_deposits(
    tx: Tx, chain: str, token: str, after: Place = BEGINNING, limit: int = MOST_PAYMENTS
) -> tuple[list[Deposit], Place | None]:
    """Confirmed payments of a token that no sweep has taken, added up per address; a page.

    :param after: where the page before ended.
    :param limit: payments; an address with more of them comes in parts.
    :returns: the deposits, and where the next page begins; ``None``: there is none.
    """
    params = {"of_chain": chain, "of_token": token, "merchant": after[0], "account": after[1]}
    rows = await execute(tx, _UNSWEPT, **params, most=limit)
    cut = len(rows) == limit
    groups: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["merchant_id"], Address(row["recipient"])].append(row)
    if cut and len(groups) > 1:
        # There may be more at the last address: it comes whole with the next page.
        groups.popitem()
    deposits = [
        Deposit(
            place[1],
            group[0]["derivation_index"],
            token,
            sum(row["amount"] for row in group),
            tuple(row["id"] for row in group),
            min(row["confirmed_at"] for row in group),
            max(row["confirmed_at"] for row in group),
        )
        for place, group in groups.items()
    ]
    return deposits, next(reversed(groups)) if cut else None


async def unswept_of(tx: Tx, merchant_id: str, chain: str, token: str) -> dict[Address, int]:
    """What of a merchant's credited money lies at deposit addresses; base units by address."""
    sums: dict[Address, int] = defaultdict(int)
    query = sa.select(payments.c.recipient, payments.c.amount).where(
        payments.c.chain == chain,
        payments.c.token == token,
        payments.c.merchant_id == merchant_id,
        # Spelled as in the index, which holds nothing else.
        sa.text("status = 'confirmed' AND sweep_item_id IS NULL"),
        payments.c.held.is_(False),
    )
    for row in await tx.conn.execute(query):
        sums[Address(row.recipient)] += row.amount
    return dict(sums)


async def swept_before(tx: Tx, chain: str, addresses: Collection[Address]) -> set[Address]:
    """Those that a sweep has emptied before: the next one costs a third of the first."""
    found: set[Address] = set()
    for part in chunked(sorted(addresses)):
        query = sa.select(sweep_items.c.address).where(
            sweep_items.c.address.in_(part),
            sweep_items.c.chain == chain,
            sweep_items.c.status == "swept",
        )
        found.update(Address(row) for row in (await tx.conn.execute(query)).scalars())
    return found


async def seal_items(tx: Tx, chain: str, batch_id: int, deposits: Sequence[Deposit]) -> None:
    """P1 for sweeps: items, their pending postings, the payments tied to them.

    :raises ConflictError: a payment changed since it was read; commit nothing.
    """
    rows = [
        {
            "batch_id": batch_id,
            "batch_index": index,
            "address": deposit.address,
            "derivation_index": deposit.derivation_index,
            "chain": chain,
            "token": deposit.token,
            "amount": deposit.amount,
            "status": "sealed",
        }
        for index, deposit in enumerate(deposits)
    ]
    insert_rows(tx, sweep_items, rows)
    query = sa.select(sweep_items.c.batch_index, sweep_items.c.id).where(
        sweep_items.c.batch_id == batch_id
    )
    made = {row.batch_index: row.id for row in await tx.conn.execute(query)}
    ties = [
        {"id": payment_id, "sweep_item_id": made[index]}
        for index, deposit in enumerate(deposits)
        for payment_id in deposit.payment_ids
    ]
    free = await select_in(tx, _FREE, payments.c.id, sorted(tie["id"] for tie in ties))
    if len(free) != len(ties):
        raise ConflictError("a payment changed while its sweep was sealed")
    update_rows(tx, payments, ties, ("sweep_item_id",))
    await post(tx, [_pending(made[i], chain, deposit) for i, deposit in enumerate(deposits)])


def _pending(item_id: int, chain: str, deposit: Deposit) -> Transfer:
    return Transfer(
        _key(item_id),
        AccountRef(AccountKind.TREASURY, chain, deposit.token),
        AccountRef(AccountKind.DEPOSITS, chain, deposit.token),
        deposit.amount,
        "sweep",
        _key(item_id),
        "pending",
    )


def _key(item_id: int) -> str:
    return f"sweep:{item_id}"


async def items_of_batches(tx: Tx, batch_ids: Collection[int]) -> list[SweepItem]:
    """Items in the order of their batches' entries."""
    found: list[SweepItem] = []
    for part in chunked(sorted(batch_ids)):
        query = (
            sa.select(sweep_items)
            .where(sweep_items.c.batch_id.in_(part))
            .order_by(sweep_items.c.batch_id, sweep_items.c.batch_index)
        )
        found += [
            SweepItem(**{name: getattr(row, name) for name in SweepItem.__dataclass_fields__})
            for row in await tx.conn.execute(query)
        ]
    return found


async def finish_items(
    tx: Tx,
    items: Sequence[SweepItem],
    failures: Mapping[int, str],
    received: Mapping[int, int],
    *,
    adopted: str | None = None,
) -> None:
    """P6 for sweeps: post what arrived, void what failed and free its payments.

    :param failures: reason by place in the batch.
    :param received: base units that reached the sink, by place; less than the amount for
        tokens that keep a fee of each transfer.
    :param adopted: name of what a start found on the chain alone, by which it is known the next
        time (:func:`was_adopted`).
    """
    postings: list[Posting] = []
    losses: list[Posting] = []
    rows: list[dict[str, Any]] = []
    for item in items:
        failed = item.batch_index in failures
        key = _key(item.id)
        step = (
            second_step(key, "void", reason="failed", object_id=key)
            if failed
            else second_step(key, "post", reason="swept", object_id=key)
        )
        if adopted is not None:
            step = Resolution(
                f"{adopted}/{item.batch_index}", key, step.kind, step.reason, step.object_id
            )
        postings.append(step)
        rows.append(
            {
                "id": item.id,
                "status": "failed" if failed else "swept",
                "reason": failures.get(item.batch_index),
            }
        )
        missing = item.amount - received.get(item.batch_index, item.amount)
        if missing > 0 and not failed:
            losses.append(_loss(item, missing))
    update_rows(tx, sweep_items, rows, ("status", "reason"))
    for part in chunked([row["id"] for row in rows if row["status"] == "failed"]):
        await tx.conn.execute(
            payments.update().where(payments.c.sweep_item_id.in_(part)).values(sweep_item_id=None)
        )
    await post(tx, postings)
    await post(tx, losses)


async def was_adopted(tx: Tx, name: str) -> bool:
    """Whether a sweep is booked under the name that a start gave it."""
    return bool(await posted_keys(tx, [f"{name}/0"]))


def _loss(item: SweepItem, missing: int) -> Transfer:
    return Transfer(
        f"{_key(item.id)}:loss",
        AccountRef(AccountKind.TOKEN_LOSS, item.chain, item.token),
        AccountRef(AccountKind.TREASURY, item.chain, item.token),
        missing,
        "token kept a fee",
        _key(item.id),
    )


async def pending_sweeps(tx: Tx, chain: str) -> dict[str, int]:
    """Base units on their way to the treasury, by token.

    An item ends with its batch: those of the open ones are looked at, not all there ever were.
    """
    query = (
        sa.select(sweep_items.c.token, sweep_items.c.amount)
        .join(batches, batches.c.id == sweep_items.c.batch_id)
        .where(batches.c.chain == chain, IS_OPEN, sweep_items.c.status == "sealed")
    )
    sums: dict[str, int] = defaultdict(int)
    for row in await tx.conn.execute(query):
        sums[row.token] += row.amount
    return dict(sums)
