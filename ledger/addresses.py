"""Deposit addresses for whoever watches them: loaded in the order of their indexes.

Indexes become visible in order (:func:`ledger.invoices.create_invoices` holds
the counter's row until commit), so *everything up to index n is known* is a
complete statement, and what is new is what lies above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from config.units import Address
from ledger.bulk import execute
from ledger.schema import (
    deposit_addresses,
    invoice_options,
    invoices,
    payments,
    presigned_addresses,
)
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """``watch_from``: per chain the first block that can hold a payment to it."""

    index: int
    address: Address
    watch_from: Mapping[str, int]


async def load_addresses(tx: Tx, above: int, limit: int = 20_000) -> tuple[str, int]:
    """The next addresses after index ``above`` and the highest index among them.

    Joined by the database, 40 lower-case hexadecimal digits each: a million rows would
    cost the driver more than everything else of a start. ``""``: there are no more.

    :param above: -1 at the start.
    """
    page = (
        sa.select(deposit_addresses.c.derivation_index, deposit_addresses.c.address)
        .where(deposit_addresses.c.derivation_index > above)
        .order_by(deposit_addresses.c.derivation_index)
        .limit(limit)
        .subquery()
    )
    if tx.dialect == "postgresql":
        every = sa.func.string_agg(page.c.address, sa.literal(b"", sa.LargeBinary))
        joined = sa.func.encode(every, "hex")
    else:
        joined = sa.func.lower(sa.func.group_concat(sa.func.hex(page.c.address), ""))
    query = sa.select(joined, sa.func.max(page.c.derivation_index))
    digits, last = (await tx.conn.execute(query)).one()
    return (digits, int(last)) if digits else ("", above)


_ABOVE: Final = (
    sa.select(
        deposit_addresses.c.derivation_index,
        deposit_addresses.c.address,
        deposit_addresses.c.watch_from,
    )
    .where(deposit_addresses.c.derivation_index > sa.bindparam("above"))
    .order_by(deposit_addresses.c.derivation_index)
    .limit(sa.bindparam("most"))
)


async def addresses_above(tx: Tx, above: int, limit: int = 20_000) -> list[DepositAddress]:
    """Addresses handed out after index ``above``, with the blocks to watch them from."""
    rows = await execute(tx, _ABOVE, above=above, most=limit)
    return [
        DepositAddress(row["derivation_index"], Address(row["address"]), row["watch_from"])
        for row in rows
    ]


async def count_addresses(tx: Tx) -> int:
    """How many there are."""
    query = sa.select(sa.func.count()).select_from(deposit_addresses)
    return int(await tx.conn.scalar(query) or 0)


async def first_offered_at(tx: Tx, chain: str) -> datetime | None:
    """When the oldest invoice was made that can be paid on a chain; ``None``: there is none.

    Reads every invoice: for the first start of a chain only.
    """
    query = (
        sa.select(sa.func.min(invoices.c.created_at))
        .join(invoice_options, invoice_options.c.invoice_id == invoices.c.id)
        .where(invoice_options.c.chain == chain)
    )
    found: datetime | None = (await tx.conn.execute(query)).scalar()
    return found


async def newest_in_use(tx: Tx) -> tuple[int, Address] | None:
    """Index and address that were handed out last, of those that may be paid or hold money.

    ``None``: its invoice was canceled, or is over, and nothing waits there for a sweep; or the
    address was signed offline, and no xpub of ours says anything of it.
    """
    query = (
        sa.select(
            deposit_addresses.c.derivation_index,
            deposit_addresses.c.address,
            invoices.c.id,
            invoices.c.canceled_at,
            invoices.c.monitor_until,
        )
        .join(invoices, invoices.c.id == deposit_addresses.c.invoice_id)
        .order_by(deposit_addresses.c.derivation_index.desc())
        .limit(1)
    )
    row = (await tx.conn.execute(query)).one_or_none()
    if row is None:
        return None
    signed = sa.exists().where(presigned_addresses.c.address == row.address)
    waits = sa.exists().where(
        payments.c.invoice_id == row.id,
        payments.c.status.in_(("detected", "confirming", "confirmed")),
        payments.c.sweep_item_id.is_(None),
    )
    if await tx.conn.scalar(sa.select(signed)):
        return None
    expected = row.canceled_at is None and row.monitor_until >= tx.now
    if not expected and not await tx.conn.scalar(sa.select(waits)):
        return None
    return row.derivation_index, Address(row.address)
