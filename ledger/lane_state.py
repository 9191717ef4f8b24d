"""What a tick begins a lane with, read at once: the lane, what is in flight or waits, a pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.attempts import OPEN_OF_LANE, Attempt, to_attempts
from ledger.batches import UNFINISHED
from ledger.bulk import Read, read_all
from ledger.lanes import LANE, Lane, to_lane
from ledger.pauses import ACTIVE, What, stops
from ledger.store import Tx


@dataclass(frozen=True, slots=True)
class LaneState:
    """One snapshot.

    :param attempts: whose outcome is not final, lowest nonce first.
    :param has_batches: whether any is neither final nor void.
    :param paused: whether a pause stops the lane's kind of work on the whole chain.
    """

    lane: Lane | None
    attempts: Sequence[Attempt]
    has_batches: bool
    paused: bool


async def read_lane_state(tx: Tx, chain: str, lane: str, what: What) -> LaneState:
    """The lane as stored.

    :param what: of which a pause stops the lane.
    """
    on = {"of_chain": chain, "of_lane": lane}
    lanes, attempts, batches, pauses = await read_all(
        tx,
        [
            Read(LANE, params=on),
            Read(OPEN_OF_LANE, params=on),
            Read(UNFINISHED, params=on),
            Read(ACTIVE),
        ],
    )
    return LaneState(
        lane=to_lane(lanes[0]) if lanes else None,
        attempts=to_attempts(attempts),
        has_batches=bool(batches),
        paused=any(stops(row["scope"], what, chain) for row in pauses),
    )
