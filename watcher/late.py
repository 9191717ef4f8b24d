"""Blocks with what was ignored for its token, read again once the token is registered.

Which they are the books say, so that nothing is kept of it: a crash begins anew, and what
was admitted is no longer asked for. A provider that no longer has such a block holds up
nothing: the others are read, and it is asked again later, ever more seldom; meanwhile the
balance audit names what lies there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from chain.client import ChainClient
from chain.rpc.errors import RpcError
from config.clock import Clock
from ledger.cursors import BlockRow, Cursor
from ledger.late_tokens import late_blocks
from ledger.leases import Lease
from ledger.payments import Recorded
from ledger.store import Ledger
from watcher.again import Piece, read_chunk, record_again, stored_around
from watcher.doubts import Doubts, IncompleteReply, refused
from watcher.effects import House
from watcher.filters import LogFilter
from watcher.match import AddressSet
from watcher.reading import Reading
from watcher.report import Report

TRIGGER: Final = "token"
_FIRST_PAUSE: Final = 600.0
_LONGEST_PAUSE: Final = 86_400.0
"""Seconds until what could not be read is asked for again, and until the next look in any case."""


class LateTokens:
    """One chain's; a block a step."""

    def __init__(
        self, ledger: Ledger, house: House, clock: Clock, doubts: Doubts, report: Report
    ) -> None:
        self._ledger = ledger
        self._house = house
        self._clock = clock
        self._doubts = doubts
        self._report = report
        self._waiting: deque[int] = deque()
        self._look_at = 0.0
        self._pause = _FIRST_PAUSE

    async def step(
        self,
        client: ChainClient,
        cursor: Cursor,
        addresses: AddressSet,
        asked: LogFilter,
        known_index: int,
        lease: Lease | None,
    ) -> Recorded | None:
        """Read the next block; ``None``: there is none to read.

        :raises AddressesGrew, ConflictError: nothing was committed; it is read again.
        """
        if not self._waiting and self._clock.monotonic() >= self._look_at:
            await self._look(cursor)
        if not self._waiting:
            return None
        block = Piece(self._waiting[0], self._waiting[0])
        recorded = Recorded()
        try:
            reading = await self._read(client, block, addresses, asked)
        except (RpcError, IncompleteReply) as error:
            self._report.late_token_failed(block.first, error)
        else:
            async with self._ledger.transaction() as tx:
                recorded = await record_again(tx, self._house, reading, cursor, known_index, lease)
            self._report.reread(TRIGGER, block.length, recorded)
        self._waiting.popleft()
        return recorded

    async def _look(self, cursor: Cursor) -> None:
        """None left: none to come, but by another leader that does not know the token yet."""
        async with self._ledger.reading() as tx:
            found = await late_blocks(tx, self._house.chain.name, cursor.cursor.number)
        self._waiting.extend(found)
        pause = self._pause if found else _LONGEST_PAUSE
        self._look_at = self._clock.monotonic() + pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _read(
        self, client: ChainClient, block: Piece, addresses: AddressSet, asked: LogFilter
    ) -> Reading:
        """From the provider of the pass or, where it cannot, from another one."""
        async with self._ledger.reading() as tx:
            stored = await stored_around(tx, self._house.chain.name, block)
        other = client.second()
        try:
            return await self._read_from(client, block, stored, addresses, asked)
        except (RpcError, IncompleteReply):
            if other is None:
                raise
        return await self._read_from(other, block, stored, addresses, asked)

    async def _read_from(
        self,
        client: ChainClient,
        block: Piece,
        stored: Sequence[BlockRow],
        addresses: AddressSet,
        asked: LogFilter,
    ) -> Reading:
        if not any(row.number >= block.last for row in stored):
            raise refused(client, f"no block is stored above block {block.last}")
        return await read_chunk(
            client, block, list(stored), addresses=addresses, asked=asked, doubts=self._doubts
        )
