"""Lanes: one sender on one chain. The database is the authority on its nonces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from config.errors import ConflictError
from config.units import Address
from ledger.bulk import execute
from ledger.schema import lanes
from ledger.sql import chunked, insert_ignore
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class Lane:
    """``next_nonce`` is the nonce of the next batch; ``halted_reason``: an operator must look."""

    chain: str
    lane: str
    sender: Address
    next_nonce: int
    halted_reason: str | None
    accept_nonce: bool = False
    """An operator has looked: the chain's nonce is taken over once."""


LANE: Final = sa.select(lanes).where(
    lanes.c.chain == sa.bindparam("of_chain"), lanes.c.lane == sa.bindparam("of_lane")
)
_LOCKED: Final = LANE.with_for_update()


async def get_lane(tx: Tx, chain: str, lane: str, *, lock: bool = False) -> Lane | None:
    """The lane as stored; ``None`` before its first use."""
    rows = await execute(tx, _LOCKED if lock else LANE, of_chain=chain, of_lane=lane)
    return to_lane(rows[0]) if rows else None


async def all_lanes(tx: Tx, chain: str) -> list[Lane]:
    """Every lane of a chain."""
    query = sa.select(lanes).where(lanes.c.chain == chain).order_by(lanes.c.lane)
    return [to_lane(row._asdict()) for row in await tx.conn.execute(query)]


async def nonces_taken(tx: Tx, chain: str, senders: Collection[Address]) -> dict[Address, int]:
    """The next nonce of those of these senders that have a lane: they have sent for us."""
    found: dict[Address, int] = {}
    for part in chunked(sorted(senders)):
        query = sa.select(lanes.c.sender, lanes.c.next_nonce).where(
            lanes.c.chain == chain, lanes.c.sender.in_(part)
        )
        found.update({Address(r.sender): r.next_nonce for r in await tx.conn.execute(query)})
    return found


def to_lane(row: Mapping[str, Any]) -> Lane:
    """A row of the table."""
    return Lane(
        row["chain"],
        row["lane"],
        Address(row["sender"]),
        row["next_nonce"],
        row["halted_reason"],
        row["accept_nonce"],
    )


async def open_lane(tx: Tx, chain: str, lane: str, sender: Address, next_nonce: int) -> Lane:
    """Create the lane where it is missing; from then on the chain's nonce is only compared.

    :raises ConflictError: the lane belongs to another sender (the seed was changed).
    """
    row: dict[str, Any] = {
        "chain": chain,
        "lane": lane,
        "sender": sender,
        "next_nonce": next_nonce,
    }
    await insert_ignore(tx, lanes, [row])
    found = await get_lane(tx, chain, lane, lock=True)
    if found is None or found.sender != sender:
        raise ConflictError(
            "the lane was opened with another sender",
            where=f"{chain}/{lane}",
            remedy="restore the former keystore, or move the old lane away by hand",
        )
    return found


async def take_nonce(tx: Tx, lane: Lane) -> None:
    """Use ``lane.next_nonce``, in the commit that stores what was signed with it (P2).

    :raises ConflictError: it was taken meanwhile; nothing that was signed may be kept.
    """
    result = await tx.conn.execute(
        lanes.update()
        .where(
            lanes.c.chain == lane.chain,
            lanes.c.lane == lane.lane,
            lanes.c.next_nonce == lane.next_nonce,
            lanes.c.halted_reason.is_(None),
        )
        .values(next_nonce=lane.next_nonce + 1)
    )
    if result.rowcount != 1:
        raise ConflictError("the nonce was taken meanwhile", where=f"{lane.chain}/{lane.lane}")


async def halt_lane(tx: Tx, chain: str, lane: str, reason: str) -> None:
    """Send nothing more on the lane until an operator has looked; the first reason stays."""
    await tx.conn.execute(
        lanes.update()
        .where(lanes.c.chain == chain, lanes.c.lane == lane, lanes.c.halted_reason.is_(None))
        .values(halted_reason=reason, halted_at=tx.now)
    )


async def clear_lane_halt(tx: Tx, chain: str, lane: str) -> None:
    """An operator's decision: go on, from the chain's nonce where that is ahead."""
    await tx.conn.execute(
        lanes.update()
        .where(lanes.c.chain == chain, lanes.c.lane == lane)
        .values(halted_reason=None, halted_at=None, accept_nonce=True)
    )


async def settle_nonce(tx: Tx, chain: str, lane: str, next_nonce: int) -> None:
    """Never take a nonce below ``next_nonce`` again; what an operator accepted is used up."""
    await tx.conn.execute(
        lanes.update()
        .where(lanes.c.chain == chain, lanes.c.lane == lane, lanes.c.next_nonce < next_nonce)
        .values(next_nonce=next_nonce)
    )
    await tx.conn.execute(
        lanes.update()
        .where(lanes.c.chain == chain, lanes.c.lane == lane)
        .values(accept_nonce=False)
    )
