"""Receipts of many transactions, a few at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from chain.client import ChainClient
from chain.model import Receipt
from config.units import Hash32
from ledger.sql import chunked

AT_ONCE: Final = 4
"""Asked for in one call: the receipt of a full batch holds some 400 logs, a megabyte."""


async def each_receipt(client: ChainClient, hashes: Sequence[Hash32]) -> AsyncIterator[Receipt]:
    """The receipts that there are, in order; no more than :data:`AT_ONCE` of them are held.

    :raises RpcError: the chain does not answer.
    """
    for part in chunked(hashes, AT_ONCE):
        for receipt in await client.receipts(list(part)):
            if receipt is not None:
                yield receipt
