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

    Those that one provider does not show are asked of a second one, last: what is mined, and
    taken for what is not, would be money that is missing.

    :raises RpcError: the chain does not answer.
    """
    missing: list[Hash32] = []
    for part in chunked(hashes, AT_ONCE):
        for tx_hash, receipt in zip(part, await client.receipts(list(part)), strict=True):
            if receipt is None:
                missing.append(tx_hash)
            else:
                yield receipt
    other = client.second() if missing else None
    if other is not None:
        for part in chunked(missing, AT_ONCE):
            for receipt in await other.receipts(list(part)):
                if receipt is not None:
                    yield receipt
