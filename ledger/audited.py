"""What the books say lies at each deposit address: the other side of the balance audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address
from ledger.ignored import gone, registered_since
from ledger.reuse import earlier_invoices
from ledger.schema import (
    deposit_addresses,
    ignored_logs,
    invoices,
    payments,
    sightings,
    sweep_items,
)
from ledger.schema import transactions as attempts
from ledger.sql import chunked
from ledger.store import Tx

_BOOKED: Final = ("detected", "confirming", "confirmed")
_REAL: Final = ("dust", "unsupported_token")
"""Reasons for which a token's own balance holds what its log said."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A deposit address.

    :param life_began: first block that can hold a payment to it.
    :param native: wei that were last seen there.
    """

    index: int
    address: Address
    invoice_id: str
    merchant_id: str
    life_began: int
    native: int


@dataclass(frozen=True, slots=True)
class Span:
    """Base units that have to be there: ``most`` with all that is on its way out by now."""

    least: int = 0
    most: int = 0


async def audited_after(tx: Tx, chain: str, index: int, limit: int, start: int) -> list[Audited]:
    """The addresses that follow derivation index ``index``, in order.

    :param start: first block of the chain that was ever scanned.
    """
    query = _AUDITED.where(deposit_addresses.c.derivation_index > index)
    rows = await tx.conn.execute(query.order_by(deposit_addresses.c.derivation_index).limit(limit))
    return [_audited(row, chain, start) for row in rows]


async def audited_one(tx: Tx, chain: str, address: Address, start: int) -> Audited | None:
    """One address; ``None`` if it is not ours."""
    query = _AUDITED.where(deposit_addresses.c.address == address)
    row = (await tx.conn.execute(query)).one_or_none()
    return None if row is None else _audited(row, chain, start)


_AUDITED: Final = sa.select(
    deposit_addresses.c.derivation_index,
    deposit_addresses.c.address,
    deposit_addresses.c.watch_from,
    invoices.c.id,
    invoices.c.merchant_id,
    invoices.c.native_coin,
).join(invoices, invoices.c.id == deposit_addresses.c.invoice_id)


def _audited(row: Any, chain: str, start: int) -> Audited:
    return Audited(
        index=row.derivation_index,
        address=Address(row.address),
        invoice_id=row.id,
        merchant_id=row.merchant_id,
        life_began=max(start, int(row.watch_from.get(chain, start))),
        native=int((row.native_coin or {}).get(chain, 0)),
    )


async def expected_at(
    tx: Tx, chain: str, page: Sequence[Audited], block: int
) -> Mapping[tuple[Address, Address], Span]:
    """Per (address, token contract) what has to lie there at ``block``, which is the cursor.

    A sweep that is not known to be mined at or below the block may have taken its payments, or
    not: that much is between least and most. What was ignored though its token is real
    (dust, a flagged token) lies there all the same; but not what was ignored for a token that
    has been registered since: that is to be found and booked.
    """
    least: dict[tuple[Address, Address], int] = defaultdict(int)
    on_its_way: dict[tuple[Address, Address], int] = defaultdict(int)
    before = await earlier_invoices(tx, [audited.address for audited in page])
    for part in chunked([*(audited.invoice_id for audited in page), *before]):
        rows = list(await tx.conn.execute(_booked(chain, part)))
        mined = await _mined(tx, {row.batch_id for row in rows if row.batch_id is not None})
        for row in rows:
            key = (Address(row.recipient), Address(row.token_address))
            if row.batch_id is None or row.item_status == "failed":
                least[key] += row.amount
            elif row.item_status != "swept" or mined.get(row.batch_id, block + 1) > block:
                on_its_way[key] += row.amount
        for key, left in (await gone(tx, chain, _REAL, part)).items():
            least[key] -= left
    for addresses in chunked([audited.address for audited in page]):
        query = sa.select(ignored_logs).where(
            ignored_logs.c.chain == chain,
            ignored_logs.c.recipient.in_(addresses),
            ignored_logs.c.reason.in_(_REAL),
        )
        for row in await tx.conn.execute(query):
            if not registered_since(tx.catalogue, chain, row.token_address, row.reason):
                least[(Address(row.recipient), Address(row.token_address))] += row.total
    return {
        key: Span(least[key], least[key] + on_its_way[key])
        for key in least.keys() | on_its_way.keys()
    }


def _booked(chain: str, invoice_ids: Sequence[str]) -> sa.Select[Any]:
    return (
        sa.select(
            payments.c.recipient,
            payments.c.token_address,
            payments.c.amount,
            sweep_items.c.batch_id,
            sweep_items.c.status.label("item_status"),
        )
        .outerjoin(sweep_items, sweep_items.c.id == payments.c.sweep_item_id)
        .where(
            payments.c.invoice_id.in_(invoice_ids),
            payments.c.chain == chain,
            payments.c.status.in_(_BOOKED),
        )
    )


async def _mined(tx: Tx, batch_ids: set[int]) -> dict[int, int]:
    """Block of the transaction that carried each batch."""
    found: dict[int, int] = {}
    for part in chunked(sorted(batch_ids)):
        query = sa.select(attempts.c.batch_id, attempts.c.block_number).where(
            attempts.c.batch_id.in_(part), attempts.c.status.in_(("mined", "final"))
        )
        found.update({row.batch_id: row.block_number for row in await tx.conn.execute(query)})
    return found


async def known_places(
    tx: Tx, chain: str, places: Sequence[tuple[bytes, int]]
) -> set[tuple[bytes, int]]:
    """Those of these (block hash, log index) that hold a payment of the books, or what stays none.

    Without what was ignored for a token that has been registered since: that is to be recorded.
    """
    found: set[tuple[bytes, int]] = set()
    for part in chunked(sorted({block_hash for block_hash, _ in places})):
        query = (
            sa.select(
                sightings.c.block_hash,
                sightings.c.log_index,
                payments.c.token_address,
                payments.c.status,
                payments.c.reason,
            )
            .join(payments, payments.c.id == sightings.c.payment_id)
            .where(sightings.c.chain == chain, sightings.c.block_hash.in_(part))
        )
        found |= {
            (row.block_hash, row.log_index)
            for row in await tx.conn.execute(query)
            if row.status != "ignored"
            or not registered_since(tx.catalogue, chain, row.token_address, row.reason)
        }
    return found & set(places)


async def note_native(tx: Tx, chain: str, seen: Mapping[str, int]) -> None:
    """Keep how much coin lies at the address of each of these invoices; 0: none any more.

    The invoices' labels are the caller's to bring up to date.
    """
    for part in chunked(sorted(seen)):
        query = sa.select(invoices.c.id, invoices.c.native_coin).where(invoices.c.id.in_(part))
        for row in list(await tx.conn.execute(query)):
            held: dict[str, str] = {**(row.native_coin or {}), chain: str(seen[row.id])}
            held = {name: wei for name, wei in held.items() if wei != "0"}
            await tx.conn.execute(
                invoices.update()
                .where(invoices.c.id == row.id)
                .values(native_coin=held or sa.null())
            )
