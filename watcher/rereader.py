"""Working off what is to be read again, a chunk at a time, at the head of the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.client import ChainClient
from chain.rpc.errors import RpcError
from config.clock import Clock
from ledger.cursors import Cursor
from ledger.leases import Lease
from ledger.rescans import Rescan, backup_end, forget_backups, next_rescan, request_rescan
from ledger.store import Ledger
from watcher.again import (
    BACKUP_CHUNK,
    Chunk,
    backup_due,
    commit_chunk,
    next_chunk,
    read_chunk,
    stored_around,
)
from watcher.doubts import Doubts, IncompleteReply
from watcher.effects import House, hold
from watcher.filters import LogFilter
from watcher.match import AddressSet
from watcher.plan import ReadRange
from watcher.report import Report
from watcher.sizes import Sizes

_STEPS_ALONE: Final = 20
"""Chunks read from the first provider after the other one failed to answer."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 600.0
"""Seconds until a request that failed is tried again."""


@dataclass(frozen=True, slots=True)
class Later:
    """When a request that failed is tried again, by the monotonic clock, and after how long."""

    at: float
    pause: float


@dataclass(frozen=True, slots=True)
class Reread:
    """``found``: payments that the first reading had missed; ``more``: go on at once."""

    blocks: int
    found: bool
    more: bool


class Rereader:
    """Rescans and second readings of one chain."""

    def __init__(
        self, ledger: Ledger, house: House, clock: Clock, doubts: Doubts, report: Report
    ) -> None:
        self._ledger = ledger
        self._house = house
        self._clock = clock
        self._doubts = doubts
        self._report = report
        self._sizes = Sizes(house.chain.name)
        self._backup_end: int | None = None
        self._alone_for = 0
        self._put_off: dict[int, Later] = {}

    async def step(
        self,
        client: ChainClient,
        cursor: Cursor,
        size: int,
        addresses: AddressSet,
        asked: LogFilter,
        known_index: int,
        lease: Lease | None,
    ) -> Reread | None:
        """Read one chunk; ``None``: nothing is to be read again.

        :raises RpcError, IncompleteReply: nothing was committed; the request is put off.
        :raises AddressesGrew: nothing was committed.
        """
        chain = self._house.chain.name
        async with self._ledger.reading() as tx:
            rescan = await next_rescan(tx, chain, cursor.cursor.number, self._aside())
        if rescan is None:
            await self._plan_backup(cursor, lease)
            return None
        reader = self._reader(client, rescan)
        most = BACKUP_CHUNK if rescan.trigger == "backup" else size
        chunk = next_chunk(rescan, cursor, min(size, most, self._sizes.of(reader.provider)))
        async with self._ledger.reading() as tx:
            stored = await stored_around(tx, chain, chunk)
        try:
            with self._sizes.learning(
                reader.provider, ReadRange(chunk.first, chunk.last)
            ) as lesson:
                reading = await read_chunk(
                    reader, chunk, stored, addresses=addresses, asked=asked, doubts=self._doubts,
                    by_proof=self._house.chain.receipts_proof and rescan.trigger == "backup",
                )  # fmt: skip
        except (RpcError, IncompleteReply) as error:
            if reader is client:
                self._put_aside(rescan)
                raise
            # The other provider is of no use now; the chain is followed all the same.
            self._report.second_reading_failed(error)
            self._alone_for = _STEPS_ALONE
            return Reread(0, found=False, more=False)
        if lesson.too_large:
            return Reread(0, found=False, more=True)
        async with self._ledger.transaction() as tx:
            recorded = await commit_chunk(
                tx, self._house, chunk, reading, cursor, known_index, lease
            )
        self._put_off.pop(rescan.id, None)
        self._report.reread(chunk.rescan.trigger, chunk.length, recorded)
        return Reread(chunk.length, recorded.found > 0, more=self._go_on(chunk))

    def _aside(self) -> list[int]:
        now = self._clock.monotonic()
        return [number for number, later in self._put_off.items() if later.at > now]

    def _put_aside(self, rescan: Rescan) -> None:
        """Blocks that nobody shows, for they are too old, must not keep all other work waiting."""
        known = self._put_off.get(rescan.id)
        pause = _FIRST_PAUSE if known is None else min(2 * known.pause, _LONGEST_PAUSE)
        self._put_off[rescan.id] = Later(self._clock.monotonic() + pause, pause)

    def _reader(self, client: ChainClient, rescan: Rescan) -> ChainClient:
        """A second reading goes to the other provider if it is alive and of use."""
        if rescan.trigger != "backup":
            return client
        if self._alone_for > 0:
            self._alone_for -= 1
            return client
        return client.second() or client

    def _go_on(self, chunk: Chunk) -> bool:
        """What somebody waits for goes on at once; second readings take their time."""
        return chunk.rescan.trigger != "backup" and chunk.last < chunk.rescan.last_block

    async def _plan_backup(self, cursor: Cursor, lease: Lease | None) -> None:
        chain = self._house.chain.name
        if self._backup_end is None:
            async with self._ledger.reading() as tx:
                done = await backup_end(tx, chain)
            self._backup_end = cursor.start_block - 1 if done is None else done
        due = backup_due(self._backup_end, cursor.final.number)
        if due is None:
            return
        async with self._ledger.transaction() as tx:
            await hold(tx, chain, cursor, lease)
            await forget_backups(tx, chain, due[0])
            await request_rescan(tx, chain, *due, "backup")
        self._backup_end = due[1]
