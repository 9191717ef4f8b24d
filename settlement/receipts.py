"""Receipts of many transactions, a few at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from chain.client import ChainClient
from chain.model import Receipt
from chain.rpc.errors import RpcError
from config.units import Hash32
from ledger.sql import chunked

AT_ONCE: Final = 4
"""Asked for in one call: the receipt of a full batch holds some 400 logs, a megabyte."""


async def each_receipt(
    client: ChainClient, hashes: Sequence[Hash32], *, by_one: bool = False
) -> AsyncIterator[Receipt]:
    """The receipts that there are, in order; no more than :data:`AT_ONCE` of them are held.

    Those that one provider does not show are asked of a second one, last: what is mined, and
    taken for what is not, would be money that is missing.

    :param by_one: believe the first where the second does not answer, for a look that is
        repeated: one dead provider and one transaction that waits would put an end to it.
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
            for receipt in await _shown(other, part, by_one=by_one):
                if receipt is not None:
                    yield receipt


async def _shown(
    client: ChainClient, hashes: Sequence[Hash32], *, by_one: bool
) -> list[Receipt | None]:
    try:
        return await client.receipts(list(hashes))
    except RpcError:
        if not by_one:
            raise
        return []
