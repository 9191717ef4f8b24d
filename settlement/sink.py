"""Where the collector sends what it sweeps: the owner can move that, three days after saying so.

A daemon that swept on would carry every deposit to a place that it does not look at, and take each
for one that failed. If the owner's key is stolen, those three days are for whoever watches.
"""

from __future__ import annotations

from typing import Final

from chain.abi import decode_address, encode_call
from chain.answers import read_answer
from chain.client import ChainClient
from chain.model import TxRequest
from config.units import ZERO_ADDRESS, Address, checksum
from ledger.leases import Lease
from settlement.context import Context
from settlement.known_holds import KnownHolds

_MOVED: Final = (
    "the collector sends sweeps to {}, not to the treasury: nothing is swept until its owner has "
    "moved the sink back (announceSink, applySink)"
)
_ANNOUNCED: Final = (
    "the owner's key has announced that sweeps are to go to {}, three days from then: if nobody of "
    "yours did, cancelSink, and take that key for stolen"
)


class SinkCheck:
    """Remembers one chain's holds about it."""

    def __init__(self) -> None:
        self._holds = KnownHolds("sink", "sink/")

    async def look(self, ctx: Context, lease: Lease, final: int | None) -> bool:
        """Whether sweeps reach the treasury; a hold says where they would go instead, or will.

        :param final: a block that every node in step has.
        :raises RpcError: nobody tells.
        """
        told = await ctx.disputes.agreed(
            ctx, lease, "sink", lambda c: _told(c, ctx.contracts.collector), since=final
        )
        if told is None:
            return False
        sink, announced = told
        own = ctx.contracts.treasury
        reasons = {
            "moved": None if sink == own else _MOVED.format(checksum(sink)),
            "announced": None
            if announced in {own, ZERO_ADDRESS}
            else _ANNOUNCED.format(checksum(announced)),
        }
        for name, reason in reasons.items():
            if reason is None:
                await self._holds.close(ctx, lease, name, "sweeps go to the treasury")
            else:
                await self._holds.open(ctx, lease, name, reason)
        return sink == own


async def _told(client: ChainClient, collector: Address) -> tuple[Address, Address]:
    """The collector's sink and the announced one, zero where there is none; of one moment."""
    asked = [
        TxRequest(None, collector, encode_call(call)) for call in ("sink()", "announcedSink()")
    ]
    sink, announced = await client.calls(asked)
    return read_answer(sink, decode_address), read_answer(announced, decode_address)
