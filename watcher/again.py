"""Reading blocks a second time: on demand, to close a gap, or as a check of the first reading.

A second reading asks another provider than the first where there is one; with
a single provider it asks later, when a lagging node has caught up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.client import ChainClient
from chain.model import BlockHeader, Log
from chain.ranges import LARGEST
from config.units import Hash32
from ledger.cursors import BlockRow, Cursor, stored_blocks
from ledger.invoices import Touched, refresh_invoices
from ledger.leases import Lease
from ledger.payments import Recorded, record_sightings
from ledger.rescans import Rescan, advance_rescan
from ledger.store import Tx
from watcher.checks import Evidence, evidence, misplaced
from watcher.doubts import Doubts, refused, settle_doubts
from watcher.effects import House, Scan, hold, new_addresses
from watcher.filters import LogFilter
from watcher.linking import link
from watcher.match import AddressSet, RowMatcher
from watcher.reading import Reading, to_sightings

BACKUP_CHUNK: Final = 20
"""Blocks of one step of a second reading: a new block at the head does not wait for more."""
BACKUP_EVERY: Final = 100
"""Blocks that become final between two second readings."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Blocks ``first … last`` to be read again."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Chunk(Piece):
    """A piece of what a request asks for."""

    rescan: Rescan


def next_chunk(rescan: Rescan, cursor: Cursor, size: int) -> Chunk:
    """What to read now; never above the cursor."""
    first = rescan.next_block
    return Chunk(first, min(rescan.last_block, first + size - 1, cursor.cursor.number), rescan)


def backup_due(done: int, final: int, every: int = BACKUP_EVERY) -> tuple[int, int] | None:
    """Blocks to read a second time, once there are enough that became final."""
    return (done + 1, final) if final - done >= every else None


async def stored_around(tx: Tx, chain: str, chunk: Piece) -> list[BlockRow]:
    """The stored blocks that :func:`read_chunk` holds a piece against."""
    stored = await stored_blocks(tx, chain, chunk.first - 1, chunk.last)
    if not stored or stored[-1].number < chunk.last:
        stored += (await stored_blocks(tx, chain, chunk.last, chunk.last + LARGEST))[:1]
    return stored


async def read_chunk(
    client: ChainClient,
    chunk: Piece,
    stored: list[BlockRow],
    *,
    addresses: AddressSet,
    asked: LogFilter,
    doubts: Doubts,
    by_proof: bool = False,
) -> Reading:
    """Headers and logs of blocks that were read before.

    :param stored: canonical blocks held between ``first - 1`` and ``last``, and where that one is
        not stored the next one above: the headers are read on to it, which proves them all.
    :param by_proof: take the logs from proven receipts, wherever a bloom admits one of ours:
        then nothing can have been left out.
    :raises BadReply: the blocks don't link, or are not those that were read.
    """
    above = max([row.number for row in stored], default=chunk.last)
    headers = await client.headers(chunk.first, max(chunk.last, above))
    linked = link(headers[0].parent_hash, chunk.first - 1, headers)
    hashes: dict[int, Hash32] = {header.number: header.hash for header in headers}
    hashes[chunk.first - 1] = headers[0].parent_hash
    if linked.broken is not None or any(hashes[row.number] != row.hash for row in stored):
        raise refused(
            client,
            f"blocks {chunk.first} to {chunk.last} are not those that were read before",
        )
    headers = headers[: chunk.length]
    matcher = RowMatcher(addresses)
    logs: list[Log] = []
    if by_proof:
        logs = await _proven_logs(client, headers, asked, matcher)
    elif not asked.asks_nothing:
        logs = await client.transfer_logs(
            chunk.first, chunk.last, tokens=None, recipients=asked.recipients, keep=matcher.keep
        )
    wrong = misplaced(headers, logs)
    if wrong is not None:
        raise refused(client, wrong)
    if not by_proof:
        logs = await settle_doubts(client, headers, logs, asked, matcher, doubts)
    return Reading(tuple(headers), await to_sightings(client, headers, logs), matcher, asked)


async def _proven_logs(
    client: ChainClient, headers: list[BlockHeader], asked: LogFilter, matcher: RowMatcher
) -> list[Log]:
    """Our transfers among all logs of the blocks, each recomputed to its header's root.

    :raises ProofFailed: no provider could show receipts that give the root.
    """
    found: list[Log] = []
    for header in headers:
        if not asked.asks_nothing and evidence(header.logs_bloom, asked) is not Evidence.NONE:
            block = await client.proven_receipts(header.hash)
            found += matcher.take(log for receipt in block.receipts for log in receipt.logs)
    return found


async def commit_chunk(
    tx: Tx, house: House, chunk: Chunk, reading: Reading, cursor: Cursor, known_index: int,
    lease: Lease | None,
) -> Recorded:  # fmt: skip
    """Record what the chunk brought and move the request on; confirming is left to the next pass.

    :raises ConflictError: the chain moved since the chunk was compared with it.
    :raises AddressesGrew: read the chunk again with the new addresses.
    """
    recorded = await record_again(tx, house, reading, cursor, known_index, lease)
    await advance_rescan(tx, chunk.rescan, chunk.last + 1)
    return recorded


async def record_again(
    tx: Tx, house: House, reading: Reading, cursor: Cursor, known_index: int, lease: Lease | None
) -> Recorded:
    """Record what blocks that were read before hold.

    :raises ConflictError, AddressesGrew: as :func:`commit_chunk`.
    """
    await hold(tx, house.chain.name, cursor, lease)
    # Only to be sure that none was missed: the next pass takes them in.
    await new_addresses(tx, Scan(known_index, reading.asked, reading.matcher))
    touched = Touched()
    recorded = await record_sightings(tx, reading.sightings, house.policy, touched)
    await refresh_invoices(tx, touched.ids, house.tolerance)
    return recorded
