"""Where the scan of a chain begins in a database that has never seen it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from chain.client import ChainClient
from chain.model import BlockHeader
from chain.rpc.errors import NodeBehind

CLOCKS_DIFFER: Final = timedelta(minutes=10)
"""How far a block's time may be ahead of ours: an invoice's first payment is not missed for it."""


async def block_to_begin_at(
    client: ChainClient, final: int, first_invoice: datetime | None
) -> BlockHeader:
    """The block below the first one to scan, for ``start_block = "latest"``.

    The final block, not the head: the head may still be exchanged, and a block that is taken
    as final must not. But never above the first invoice that offers this chain: its provider
    may have been out of reach when the daemon first started, or invoices were imported before
    it ran, and customers pay without waiting for us.

    :param final: the highest final block.
    :raises NodeBehind: the node lacks a block that it should have.
    """
    if first_invoice is None:
        return await header_of(client, final)
    until = (first_invoice - CLOCKS_DIFFER).timestamp()
    low, high = 0, final  # the answer lies in between, both included
    while low < high:
        middle = (low + high + 1) // 2
        if (await header_of(client, middle)).timestamp < until:
            low = middle
        else:
            high = middle - 1
    return await header_of(client, low)


async def header_of(client: ChainClient, number: int) -> BlockHeader:
    """One header.

    :raises NodeBehind: the node does not have that block.
    """
    header = await client.block(number)
    if header is None:
        raise NodeBehind(f"the chain has no block {number} yet", where=str(client.provider))
    return header
