"""Presigned deposit addresses in the store: imported whole, handed out in order, looked up.

A set is what one chain's collector can sweep: the authorizations of a row of
indexes for one delegate. Rows are written in chunks; until the set's
``next_index`` is raised, in a commit of its own, nobody sees them. A crash
before it leaves rows that the next import of the file finds and keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from config.errors import InvalidInputError, WalletError
from config.units import Address, Hash32
from ledger.holds import close_holds, hold, open_places
from ledger.installation import raise_index
from ledger.schema import (
    address_counter,
    holds,
    presigned_addresses,
    presigned_authorizations,
    presigned_sets,
)
from ledger.sources import BoundSource
from ledger.sql import chunked, insert_ignore
from ledger.store import Tx

NEEDS_SIGNATURE: Final = "needs offline signature"
LOST_PLACE: Final = "presigned/journal"
"""Object of the hold that says: nobody knows which imported addresses people were given."""
SIGNATURE_BYTES: Final = 65


@dataclass(frozen=True, slots=True)
class PresignedSet:
    """What is signed for one chain and delegate, from ``first_index`` to below ``next_index``."""

    id: int
    chain_id: int
    delegate: Address
    code_hash: Hash32
    first_index: int
    next_index: int
    checked_at: datetime | None
    """``None``: the delegate's code has not been found on chain, or is other code."""

    def covers(self, first: int, count: int) -> bool:
        """Whether all these indexes can be handed out and swept."""
        usable = self.checked_at is not None
        return usable and self.first_index <= first and first + count <= self.next_index


@dataclass(frozen=True, slots=True)
class PresignedRow:
    """One address; ``signatures``: r, s and y_parity, 65 bytes, by set id."""

    index: int
    address: Address
    signatures: dict[int, bytes]


class PresignedSource(BoundSource):
    """Hands out imported addresses, for :func:`ledger.invoices.create_invoices`.

    :param mark: writes the journal's high-water mark before an index is used.
    """

    why_missing = "its addresses are not presigned"

    def __init__(self, mark: Callable[[int, int], None]) -> None:
        self._mark = mark

    async def take(self, tx: Tx, first: int, count: int) -> tuple[list[Address], set[int]]:
        """Addresses of these indexes, and the ids of the chains that can sweep them all.

        :raises WalletError: there are not so many left; nothing was handed out.
        """
        sets = await presigned_sets_of(tx)
        chain_ids = {s.chain_id for s in sets if s.covers(first, count)}
        if not chain_ids:
            raise _none_left(sets, first, count)
        query = (
            sa.select(presigned_addresses.c.address)
            .where(
                presigned_addresses.c.derivation_index >= first,
                presigned_addresses.c.derivation_index < first + count,
            )
            .order_by(presigned_addresses.c.derivation_index)
        )
        found = [Address(address) for address in (await tx.conn.execute(query)).scalars()]
        assert len(found) == count, "a set is complete up to its next_index"
        self._mark(first, count)
        return found, chain_ids


def _none_left(sets: Sequence[PresignedSet], first: int, count: int) -> WalletError:
    if sets and all(s.checked_at is None for s in sets):
        return WalletError(
            "no chain's forwarder has been checked yet",
            where="presigned addresses",
            remedy="bursar contracts deploy; settlement checks it once it runs",
        )
    left = max((left_of(s, first) for s in sets), default=0)
    return WalletError(
        f"{count} wanted and {left} left" if left else "none is left",
        where="presigned addresses",
        remedy="bursar wallets presign on the offline machine, then import-presigned here",
    )


def left_of(known: PresignedSet, next_index: int) -> int:
    """How many more addresses the set lets be handed out."""
    if known.checked_at is None or next_index < known.first_index:
        return 0
    return max(known.next_index - next_index, 0)


async def presigned_sets_of(tx: Tx) -> list[PresignedSet]:
    """All sets; there are as many as chains."""
    query = sa.select(presigned_sets).order_by(presigned_sets.c.id)
    return [
        PresignedSet(
            id=row.id,
            chain_id=row.chain_id,
            delegate=Address(row.delegate),
            code_hash=Hash32(row.code_hash),
            first_index=row.first_index,
            next_index=row.next_index,
            checked_at=row.checked_at,
        )
        for row in await tx.conn.execute(query)
    ]


async def next_index_of(tx: Tx) -> int:
    """The index that is handed out next."""
    return int(await tx.conn.scalar(sa.select(address_counter.c.next_index)) or 0)


async def was_started(tx: Tx) -> bool:
    """Whether a daemon has ever counted addresses over these books, from a journal of its own."""
    return bool(await tx.conn.scalar(sa.select(sa.exists().where(address_counter.c.id == 1))))


async def presigned_left(tx: Tx) -> dict[int, int]:
    """Addresses that can still be handed out, by chain id."""
    after = await next_index_of(tx)
    left: dict[int, int] = {}
    for known in await presigned_sets_of(tx):
        left[known.chain_id] = max(left.get(known.chain_id, 0), left_of(known, after))
    return left


# --- importing -------------------------------------------------------------------------


async def open_sets(
    tx: Tx, chain_ids: Sequence[int], delegate: Address, code_hash: Hash32, first: int
) -> list[PresignedSet]:
    """The sets that a file adds to, made where they are missing; in the order of ``chain_ids``.

    :raises InvalidInputError: the file would leave a gap, or is of other code.
    """
    rows = [
        {
            "chain_id": chain_id,
            "delegate": delegate,
            "code_hash": code_hash,
            "first_index": first,
            "next_index": first,
        }
        for chain_id in chain_ids
    ]
    await insert_ignore(tx, presigned_sets, rows)
    found = {s.chain_id: s for s in await presigned_sets_of(tx) if s.delegate == delegate}
    for known in (found[chain_id] for chain_id in chain_ids):
        if known.code_hash != code_hash:
            raise InvalidInputError("is signed for another code of the same delegate")
        if not known.first_index <= first <= known.next_index:
            raise InvalidInputError(
                f"begins with index {first}, but chain id {known.chain_id} "
                f"has {known.first_index} to {known.next_index - 1}",
                remedy=f"presign from {known.next_index} (--first), without a gap",
            )
    return [found[chain_id] for chain_id in chain_ids]


async def mark_lost(tx: Tx) -> None:
    """The journal is lost: what was imported since a backup may have been handed out.

    The next import says where handing out goes on, or an operator releases the hold.
    """
    reason = (
        "the journal is lost: addresses that were imported after the database's backup, if it is "
        "one, may have been handed out; import with --hand-out-from"
    )
    await hold(tx, "batch", "presigned", LOST_PLACE, reason)


async def is_lost(tx: Tx) -> bool:
    """Whether an import has to say where handing out goes on."""
    return LOST_PLACE in await open_places(tx, "batch", LOST_PLACE)


async def other_addresses(tx: Tx, rows: Sequence[tuple[int, Address]]) -> list[int]:
    """Indexes in ``rows`` (consecutive) that the store knows with another address."""
    query = sa.select(presigned_addresses).where(
        presigned_addresses.c.derivation_index >= rows[0][0],
        presigned_addresses.c.derivation_index <= rows[-1][0],
    )
    known = {r.derivation_index: Address(r.address) for r in await tx.conn.execute(query)}
    return [index for index, address in rows if known.get(index, address) != address]


async def store_presigned(tx: Tx, rows: Sequence[PresignedRow]) -> None:
    """Write verified rows; those that are known stay. Nothing of them is usable yet."""
    await insert_ignore(
        tx,
        presigned_addresses,
        [{"derivation_index": r.index, "address": r.address} for r in rows],
    )
    await insert_ignore(
        tx,
        presigned_authorizations,
        [
            {"set_id": set_id, "derivation_index": r.index, "signature": signature}
            for r in rows
            for set_id, signature in r.signatures.items()
        ],
    )


async def complete_sets(
    tx: Tx, set_ids: Sequence[int], first: int, count: int, *, hand_out_from: int | None = None
) -> int:
    """Make the rows of a file usable; how many indexes the sets gained, at most.

    The counter goes up to the first index where it stands below: lower ones have no address.

    :param hand_out_from: no index below it is handed out from now on.
    :raises InvalidInputError: rows are missing: an address stands under two indexes.
    """
    gained = 0
    for set_id in set_ids:
        there = await tx.conn.scalar(
            sa.select(sa.func.count())
            .select_from(presigned_authorizations)
            .join(
                presigned_addresses,
                presigned_addresses.c.derivation_index
                == presigned_authorizations.c.derivation_index,
            )
            .where(
                presigned_authorizations.c.set_id == set_id,
                presigned_authorizations.c.derivation_index >= first,
                presigned_authorizations.c.derivation_index < first + count,
            )
        )
        if there != count:
            raise InvalidInputError(f"{count - int(there or 0)} of its addresses are not stored")
        query = sa.select(presigned_sets.c.next_index).where(presigned_sets.c.id == set_id)
        before = int(await tx.conn.scalar(query.with_for_update()) or 0)
        gained = max(gained, first + count - before)
        await tx.conn.execute(
            presigned_sets.update()
            .where(presigned_sets.c.id == set_id, presigned_sets.c.next_index < first + count)
            .values(next_index=first + count)
        )
    lowest = await tx.conn.scalar(sa.select(sa.func.min(presigned_sets.c.first_index)))
    await raise_index(tx, max(int(lowest or 0), hand_out_from or 0))
    if hand_out_from is not None:
        await close_holds(tx, "batch", LOST_PLACE, f"handed out from {hand_out_from}")
    return gained


# --- sweeping --------------------------------------------------------------------------


async def mark_checked(tx: Tx, chain_id: int, delegate: Address, *, good: bool) -> None:
    """Whether the delegate's code is on chain; sets of other delegates are out of use."""
    await tx.conn.execute(
        presigned_sets.update()
        .where(presigned_sets.c.chain_id == chain_id)
        .values(
            checked_at=sa.case(
                (
                    presigned_sets.c.delegate == delegate,
                    sa.literal(tx.now if good else None, presigned_sets.c.checked_at.type),
                ),
                else_=sa.null(),
            )
        )
    )


async def stored_authorizations(
    tx: Tx, chain_id: int, delegate: Address, addresses: Collection[Address]
) -> dict[Address, bytes]:
    """Signatures (r, s, y_parity) of those that are signed for this chain, its code checked."""
    found: dict[Address, bytes] = {}
    for part in chunked(sorted(addresses)):
        query = (
            sa.select(presigned_addresses.c.address, presigned_authorizations.c.signature)
            .join(
                presigned_authorizations,
                presigned_authorizations.c.derivation_index
                == presigned_addresses.c.derivation_index,
            )
            .join(presigned_sets, presigned_sets.c.id == presigned_authorizations.c.set_id)
            .where(
                presigned_addresses.c.address.in_(part),
                presigned_sets.c.chain_id == chain_id,
                presigned_sets.c.delegate == delegate,
                presigned_sets.c.checked_at.is_not(None),
                presigned_authorizations.c.derivation_index < presigned_sets.c.next_index,
            )
        )
        for row in await tx.conn.execute(query):
            found[Address(row.address)] = bytes(row.signature)
    return found


async def release_signed(tx: Tx, chain: str, chain_id: int, delegate: Address) -> int:
    """End the holds of deposits that waited for a signature which is here now; how many."""
    query = sa.select(holds.c.id, holds.c.object_id).where(
        holds.c.kind == "batch",
        holds.c.reason == NEEDS_SIGNATURE,
        holds.c.released_at.is_(None),
        holds.c.object_id.startswith(f"{chain}/", autoescape=True),
    )
    waiting = {
        Address(bytes.fromhex(row.object_id.split("/")[1])): row.id
        for row in await tx.conn.execute(query)
    }
    signed = await stored_authorizations(tx, chain_id, delegate, waiting)
    ids = [waiting[address] for address in signed]
    for part in chunked(ids):
        await tx.conn.execute(
            holds.update()
            .where(holds.c.id.in_(part))
            .values(released_at=tx.now, resolution="signed")
        )
    return len(ids)
