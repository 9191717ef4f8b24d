"""What a transaction of the daemon's means, and what became of its payouts."""

from __future__ import annotations

from hashlib import blake2b

from chain.helper_contracts import decode_pay_batch, decode_payout_failed
from config.units import Address
from tests.simulation.chain.blocks import Block
from tests.simulation.chain.transactions import Tx


def failed_in(block: Block, place: int, treasury: Address) -> set[int]:
    """Indices of a batch that the treasury could not pay."""
    events = (decode_payout_failed(log, treasury) for log in block.results[place].logs)
    return {event.index for event in events if event is not None}


def meaning_of(tx: Tx) -> str:
    """The same for every attempt at the same thing."""
    if tx.to == tx.sender:
        return "self"
    try:
        epoch, batch_id, *_ = decode_pay_batch(tx.data)
    except ValueError:
        return blake2b(tx.to + tx.data, digest_size=8).hexdigest()
    return f"batch {epoch}/{batch_id}"
