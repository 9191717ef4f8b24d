"""Deposit addresses for whoever watches them: loaded in the order of their indexes.

Indexes become visible in order (:func:`ledger.invoices.create_invoices` holds
the counter's row until commit), so *everything up to index n is known* is a
complete statement, and what is new is what lies above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from config.units import Address
from ledger.schema import deposit_addresses
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """``watch_from``: per chain the first block that can hold a payment to it."""

    index: int
    address: Address
    watch_from: Mapping[str, int]


async def load_addresses(tx: Tx, above: int, limit: int = 20_000) -> tuple[list[Address], int]:
    """The next addresses after index ``above`` and the highest index among them.

    An empty list: there are no more. ``above`` is -1 at the start.
    """
    query = (
        sa.select(deposit_addresses.c.derivation_index, deposit_addresses.c.address)
        .where(deposit_addresses.c.derivation_index > above)
        .order_by(deposit_addresses.c.derivation_index)
        .limit(limit)
    )
    rows = (await tx.conn.execute(query)).all()
    return [Address(row.address) for row in rows], rows[-1].derivation_index if rows else above


async def addresses_above(tx: Tx, above: int, limit: int = 20_000) -> list[DepositAddress]:
    """Addresses handed out after index ``above``, with the blocks to watch them from."""
    query = (
        sa.select(deposit_addresses)
        .where(deposit_addresses.c.derivation_index > above)
        .order_by(deposit_addresses.c.derivation_index)
        .limit(limit)
    )
    return [
        DepositAddress(row.derivation_index, Address(row.address), row.watch_from)
        for row in await tx.conn.execute(query)
    ]


async def count_addresses(tx: Tx) -> int:
    """How many there are."""
    query = sa.select(sa.func.count()).select_from(deposit_addresses)
    return int(await tx.conn.scalar(query) or 0)
