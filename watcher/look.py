"""Looking before reading: cursor, chain id, head, tags; from one provider per pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from chain.client import ChainClient
from chain.model import BlockHeader
from chain.rpc.errors import NodeBehind, RpcError
from chain.rpc.health import ProviderState
from config.chains import ChainSettings
from config.clock import Clock
from config.errors import ConfigError
from ledger.addresses import first_offered_at
from ledger.cursors import Cursor, get_cursor, known_as, start_cursor, stored_blocks
from ledger.leases import Lease, check
from ledger.store import Ledger
from watcher.effects import to_block_row
from watcher.finality import final_number, used_tags
from watcher.first_block import block_to_begin_at, header_of
from watcher.report import Report

_STALE_BLOCKS: Final = 5
_STALE_LEAST_SECONDS: Final = 5.0
"""A head that stands still this long (or five block times) is compared with another provider's."""
_PATIENCES: Final = 3
"""So many times that, and nobody shows a block above the cursor: a shorter chain is believed."""
_NO_BETTER: Final = (None, ProviderState.unreachable)
"""Nobody is left, or one that does not answer: then rather the one that failed."""
AVOIDED_FOR: Final = 30.0
"""Seconds that passes go to other providers after one gave a reply that was refuted."""


@dataclass(frozen=True, slots=True)
class Look:
    """The chain as one provider shows it now.

    :param final: highest block held as final by the chain; that of the books where this
        provider's view does not fit them.
    :param elsewhere: for long nobody has shown a block above the cursor, and this provider's
        chain, which ends at or below it, is another one: the blocks up to the cursor are gone.
    """

    client: ChainClient
    head: BlockHeader
    tags: Mapping[str, int]
    final: int
    elsewhere: bool = False


class Lookout:
    """Knows where the chain is and where the books are."""

    def __init__(
        self,
        chain: ChainSettings,
        client: ChainClient,
        ledger: Ledger,
        clock: Clock,
        report: Report,
    ) -> None:
        self._chain = chain
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._report = report
        self._checked = False
        self._avoided: dict[str, float] = {}
        self._moved_at = clock.monotonic()
        self._highest = -1
        self._fitted_at = clock.monotonic()
        self._looked_at = self._fitted_at

    async def stored_cursor(self) -> Cursor | None:
        """The cursor in the books."""
        async with self._ledger.reading() as tx:
            return await get_cursor(tx, self._chain.name)

    async def cursor(self, lease: Lease | None) -> Cursor:
        """The cursor; the first time in an empty database, begun at ``start_block``.

        :raises ConfigError: provider or database belong to another chain.
        """
        cursor = await self.stored_cursor()
        if not self._checked:
            await self._check_chain(cursor)
        if cursor is not None:
            return cursor
        header = await self._first_block()
        async with self._ledger.transaction() as tx:
            if lease is not None:
                await check(tx, lease)
            await start_cursor(tx, self._chain.name, self._chain.chain_id, to_block_row(header))
            begun = await get_cursor(tx, self._chain.name)
        assert begun is not None
        return begun

    async def _check_chain(self, cursor: Cursor | None) -> None:
        if cursor is not None and cursor.chain_id != self._chain.chain_id:
            raise ConfigError(
                f"the database holds chain {cursor.chain_id} under the name "
                f"{self._chain.name}, but chain_id is {self._chain.chain_id}",
                where=f"chains.{self._chain.name}.chain_id",
                remedy="give the other chain a name of its own",
            )
        if cursor is None:
            await self._check_name()
        remote = await self._client.remote_chain_id()
        if remote != self._chain.chain_id:
            raise ConfigError(
                f"a provider serves chain {remote} instead of {self._chain.chain_id}",
                where=f"chains.{self._chain.name}.rpc_urls",
                remedy="correct rpc_urls or chain_id",
            )
        self._checked = True

    async def _check_name(self) -> None:
        """Under a second name the last blocks would be credited a second time."""
        async with self._ledger.reading() as tx:
            known = await known_as(tx, self._chain.chain_id)
        if known is not None:
            raise ConfigError(
                f"the database holds chain {self._chain.chain_id} under the name {known}",
                where=f"chains.{self._chain.name}.name",
                remedy=f"call it {known} again: all that is booked is kept by that name",
            )

    async def _first_block(self) -> BlockHeader:
        """The block before the first one to scan, taken as final.

        :raises NodeBehind: the chain's finality is a tag, and the node knows no such block now.
        """
        client = self._client.pinned()
        wanted = self._chain.start_block
        if wanted != "latest":
            return await header_of(client, max(int(wanted) - 1, 0))
        head = await self._head(client)
        tags = await self._tags(client, None, head)
        tag = self._chain.hard_finality.tag
        if tag is not None and tag not in tags:
            # Taken for *none*, the scan would begin with the chain's first block, for good.
            raise NodeBehind(f"the node has no {tag} block yet", where=self._chain.name)
        final = max(final_number(self._chain.hard_finality, head.number, tags), 0)
        async with self._ledger.reading() as tx:
            first_invoice = await first_offered_at(tx, self._chain.name)
        return await block_to_begin_at(client, final, first_invoice)

    def avoid(self, provider: str) -> None:
        """This provider failed a pass, or what it said was refuted: let others lead the next ones.

        The pool's own score is not enough: a node on a branch of its own answers everything
        else well, and if its branch is longer the right ones look out of sync beside it.
        """
        if provider:
            self._avoided[provider] = self._clock.monotonic() + AVOIDED_FOR

    def _pin(self) -> ChainClient:
        now = self._clock.monotonic()
        self._avoided = {name: until for name, until in self._avoided.items() if until > now}
        view = self._client
        for name in self._avoided:
            view = view.excluding(name)
        pinned = view.pinned()
        unreachable = pinned.provider_states().get(pinned.provider or "") in _NO_BETTER
        return self._client.pinned() if unreachable else pinned

    async def look(self, cursor: Cursor) -> Look:
        """Pin a provider and see how far the chain is."""
        client = self._pin()
        head = await self._head(client)
        if head.number > self._highest:
            self._highest, self._moved_at = head.number, self._clock.monotonic()
        elif head.number <= cursor.cursor.number and self._stale():
            client, head = await self._other_head(client, head)
        tags = await self._tags(client, cursor, head)
        final = final_number(self._chain.hard_finality, head.number, tags)
        mark = cursor.cursor
        by_depth = self._chain.hard_finality.tag is None
        if by_depth and head.number <= mark.number and head.hash != mark.hash:
            final = cursor.final.number  # a lagging or a forked view says nothing about depth
        elsewhere = await self._is_elsewhere(client, cursor, head)
        self._report.looked(cursor, head, tags)
        return Look(client, head, tags, max(final, cursor.final.number), elsewhere)

    def _stale(self) -> bool:
        return self._clock.monotonic() - self._moved_at > self._patience

    @property
    def _patience(self) -> float:
        """Seconds."""
        return max(_STALE_LEAST_SECONDS, _STALE_BLOCKS * self._chain.block_time.total_seconds())

    async def _is_elsewhere(self, client: ChainClient, cursor: Cursor, head: BlockHeader) -> bool:
        """A lagging node shows the same blocks; blocks that were made up, nobody shows any more."""
        mark, now = cursor.cursor, self._clock.monotonic()
        polls = _PATIENCES * self._chain.poll_interval.total_seconds()
        if now - self._looked_at > max(self._patience, polls):
            self._fitted_at = now  # another process led, or nobody answered
        self._looked_at = now
        long_ago = now - self._fitted_at > _PATIENCES * self._patience
        if head.number <= mark.number and head.hash != mark.hash:
            if not long_ago or head.number <= cursor.final.number:
                return False
            if await self._differs(client, cursor, head):
                return True
        self._fitted_at = now
        return False

    async def _differs(self, client: ChainClient, cursor: Cursor, head: BlockHeader) -> bool:
        """Whether the newest stored block that this provider can have is not on its chain."""
        async with self._ledger.reading() as tx:
            stored = await stored_blocks(
                tx, self._chain.name, cursor.final.number, int(head.number)
            )
        if not stored:
            return False
        newest = stored[-1]
        theirs = head if newest.number == head.number else await client.block(newest.number)
        return theirs is not None and theirs.hash != newest.hash

    async def _other_head(
        self, client: ChainClient, head: BlockHeader
    ) -> tuple[ChainClient, BlockHeader]:
        """A provider that is stuck must not make the chain look idle."""
        self._moved_at = self._clock.monotonic()
        other = client.second()
        if other is None:
            return client, head
        try:
            found = await self._head(other)
        except RpcError:
            return client, head
        return (other, found) if found.number > head.number else (client, head)

    async def _head(self, client: ChainClient) -> BlockHeader:
        head = await client.block("latest")
        if head is None:
            raise NodeBehind("the node has no block at all", where=self._chain.name)
        return head

    async def _tags(
        self, client: ChainClient, cursor: Cursor | None, head: BlockHeader
    ) -> dict[str, int]:
        """Blocks of the tags in use; one that is not on our chain is left out for now."""
        found: dict[str, int] = {}
        for tag in sorted(used_tags(self._chain)):
            header = await client.block(cast(Literal["safe", "finalized"], tag))
            if header is not None and await self._fits(cursor, header, head):
                found[tag] = header.number
        return found

    async def _fits(self, cursor: Cursor | None, header: BlockHeader, head: BlockHeader) -> bool:
        if header.number > head.number:
            # Behind one URL may be several nodes, one of them of another chain: nothing that has
            # been read could be held against this block, and all of it would pass for final.
            return False
        if cursor is None:
            return True
        if not cursor.final.number < header.number <= cursor.cursor.number:
            return True
        async with self._ledger.reading() as tx:
            kept = await stored_blocks(tx, self._chain.name, header.number, header.number)
        return bool(kept) and kept[0].hash == header.hash
