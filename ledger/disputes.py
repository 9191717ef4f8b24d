"""Payments that a second provider does not bear out: named by a hold, vouched for by a person.

The hold does not stop the payment, it says that it waits. It is closed by itself once the
payment counts or is taken back. Released by an operator, it means: I have looked, the payment
is on the chain; the next pass confirms it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa

from ledger.holds import close_holds, hold, open_places
from ledger.schema import holds, payments
from ledger.sql import chunked
from ledger.store import Tx

MOST: Final = 100
"""Holds opened for waiting payments of a chain; the metric counts them all."""
_KIND: Final = "payment"
_TYPE: Final = "receipt"
VOUCHED: Final = "released"

Key = tuple[bytes, bytes, int]
"""(transaction hash, block hash, ordinal) of a payment that waits."""


async def name_waiting(tx: Tx, chain: str, waiting: Mapping[Key, str]) -> set[Key]:
    """Open a hold for each that waits, close those that wait no more; returns the vouched ones.

    :param waiting: why, by key.
    """
    rows = {
        (row.tx_hash, row.block_hash, row.ordinal): row
        for row in await _open(tx, chain, {key[0] for key in waiting})
    }
    places = {_place(chain, rows[key].id): key for key in waiting if key in rows}
    vouched = await _vouched(tx, places)
    standing = {place for place in await open_places(tx, _KIND, f"{chain}/") if _ours(place)}
    for place in standing - places.keys():
        await close_holds(tx, _KIND, place, "waits no more")
    for place, key in list(places.items())[: max(0, MOST - len(standing & places.keys()))]:
        if place not in standing and place not in vouched:
            merchant = rows[key].merchant_id
            await hold(tx, _KIND, _TYPE, place, waiting[key], merchant_id=merchant)
    return {places[place] for place in vouched}


def _place(chain: str, payment_id: str) -> str:
    return f"{chain}/{payment_id}/{_TYPE}"


def _ours(place: str) -> bool:
    return place.endswith(f"/{_TYPE}")


async def _open(tx: Tx, chain: str, hashes: Collection[bytes]) -> list[Any]:
    found: list[Any] = []
    for part in chunked(sorted(hashes)):
        query = sa.select(
            payments.c.id,
            payments.c.merchant_id,
            payments.c.tx_hash,
            payments.c.block_hash,
            payments.c.ordinal,
        ).where(
            payments.c.chain == chain,
            payments.c.tx_hash.in_(part),
            payments.c.status.in_(("detected", "confirming")),
        )
        found += await tx.conn.execute(query)
    return found


async def _vouched(tx: Tx, places: Collection[str]) -> set[str]:
    found: set[str] = set()
    for part in chunked(sorted(places)):
        query = sa.select(holds.c.object_id).where(
            holds.c.kind == _KIND,
            holds.c.object_type == _TYPE,
            holds.c.object_id.in_(part),
            holds.c.resolution == VOUCHED,
        )
        found |= set((await tx.conn.execute(query)).scalars())
    return found
