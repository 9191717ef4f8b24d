"""Reading blocks and their Transfer logs, every reply held against the headers.

One provider per pass. What comes out is consistent in itself: headers that
link from the cursor, logs that are in those blocks, ordinals from receipts of
those blocks. What it may still be is incomplete; see :mod:`watcher.checks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from chain.client import ChainClient
from chain.model import BlockHeader, Log, Receipt
from ledger.cursors import BlockMark
from ledger.payment_rules import Sighting
from watcher.decode import Transfer, decode_transfer, to_sighting
from watcher.doubts import Doubts, refused, settle_doubts
from watcher.filters import LogFilter
from watcher.linking import link
from watcher.match import AddressSet, RowMatcher
from watcher.plan import ReadBlocks, ReadRange

S = TypeVar("S")
T = TypeVar("T")

_AT_ONCE: Final = 8
"""Requests by block hash in flight."""


@dataclass(frozen=True, slots=True)
class Fork:
    """The cursor's block is not the parent of ``child``: the chain under it was exchanged."""

    child: BlockHeader


@dataclass(frozen=True, slots=True)
class Reading:
    """Linked blocks above the cursor and what reached our addresses in them."""

    headers: tuple[BlockHeader, ...]
    sightings: tuple[Sighting, ...]
    matcher: RowMatcher
    asked: LogFilter

    @property
    def logs_per_block(self) -> float:
        """Logs that came, ours and others'."""
        return self.matcher.read / len(self.headers)


async def read_step(
    client: ChainClient,
    step: ReadRange | ReadBlocks,
    above: BlockMark | None,
    *,
    head: BlockHeader,
    addresses: AddressSet,
    asked: LogFilter,
    doubts: Doubts,
) -> Reading | Fork:
    """Headers and logs of one step, from the pinned provider.

    :param above: the block that the step follows; ``None`` where it is not known yet: then
        whoever uses the reading has to compare its first block's parent.
    :raises RpcError: as the client; :class:`BadReply` for logs that are not in these blocks.
    :raises IncompleteReply: read it again, elsewhere if possible.
    """
    matcher = RowMatcher(addresses)
    if isinstance(step, ReadRange):
        headers, logs = await _both(
            read_headers(client, step.first, step.last, head),
            _logs_in_range(client, step.first, step.last, asked, matcher),
        )
    else:
        headers = await read_headers(client, step.first, step.last, head)
    parent = headers[0].parent_hash if above is None else above.hash
    linked = link(parent, step.first - 1, headers)
    if not linked.headers:
        assert linked.broken is not None
        return Fork(linked.broken)
    if isinstance(step, ReadRange):
        last = linked.headers[-1].number
        logs = [log for log in logs if log.block_number <= last]
    else:
        logs = await _logs_by_hash(client, linked.headers, asked, matcher)
    logs = await settle_doubts(client, linked.headers, logs, asked, matcher, doubts)
    sightings = await to_sightings(client, linked.headers, logs)
    return Reading(linked.headers, sightings, matcher, asked)


async def _both(one: Coroutine[Any, Any, S], other: Coroutine[Any, Any, T]) -> tuple[S, T]:
    """The answers to two questions asked at once; the first failure ends the other."""
    tasks = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return tasks[0].result(), tasks[1].result()


async def read_headers(
    client: ChainClient, first: int, last: int, head: BlockHeader | None
) -> list[BlockHeader]:
    """Headers ``first … last``; the head, known already, is not asked for again."""
    if head is not None and last == head.number:
        below = await client.headers(first, last - 1) if first < last else []
        return [*below, head]
    return await client.headers(first, last)


async def _logs_in_range(
    client: ChainClient, first: int, last: int, asked: LogFilter, matcher: RowMatcher
) -> list[Log]:
    if asked.asks_nothing:
        return []
    return await client.transfer_logs(
        first, last, tokens=None, recipients=asked.recipients, keep=matcher.keep
    )


async def _logs_by_hash(
    client: ChainClient, headers: Sequence[BlockHeader], asked: LogFilter, matcher: RowMatcher
) -> list[Log]:
    if asked.asks_nothing:
        return []
    found: list[Log] = []
    for start in range(0, len(headers), _AT_ONCE):
        answers = await asyncio.gather(
            *(
                client.transfer_logs_of_block(
                    header.hash, tokens=None, recipients=asked.recipients, keep=matcher.keep
                )
                for header in headers[start : start + _AT_ONCE]
            )
        )
        found += [log for answer in answers for log in answer]
    return found


async def to_sightings(
    client: ChainClient, headers: Sequence[BlockHeader], logs: Sequence[Log]
) -> tuple[Sighting, ...]:
    """Logs as the books take them: the ordinal comes from the full receipt.

    :raises BadReply: a receipt is missing, of another block, or does not hold the log.
    """
    decoded = [(log, parts) for log in logs if (parts := decode_transfer(log)) is not None]
    hashes = list(dict.fromkeys(log.tx_hash for log, _ in decoded))
    receipts = dict(zip(hashes, await client.receipts(hashes), strict=True))
    times = {header.number: header.timestamp for header in headers}
    return tuple(
        to_sighting(
            client.name, log, parts, _ordinal(client, receipts[log.tx_hash], log, parts),
            times[log.block_number],
        )
        for log, parts in decoded
    )  # fmt: skip


def _ordinal(client: ChainClient, receipt: Receipt | None, log: Log, parts: Transfer) -> int:
    if receipt is None or receipt.block_hash != log.block_hash:
        raise refused(client, "a log's receipt is missing or of another block")
    for ordinal, found in enumerate(receipt.logs):
        if found.log_index == log.log_index and decode_transfer(found) == parts:
            return ordinal
    raise refused(client, "a receipt does not hold the log that it was asked for")
