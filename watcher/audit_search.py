"""Looking for the Transfer that a balance speaks of and no reading has shown.

Downwards from the block of the audit to the first that can hold it, by token and
recipient, of the other provider first: what was left out was mostly left out lately. What
is found is proven to lie in the chain that the books hold, hash by hash up to the next stored
block, before it is recorded. Bounded work a step; the place is kept with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.client import ChainClient
from chain.model import BlockHeader, Log
from chain.ranges import LARGEST
from chain.rpc.errors import RpcError
from ledger.audited import known_places
from ledger.cursors import Cursor, stored_blocks
from ledger.findings import Finding, move_search
from ledger.invoices import Touched, refresh_invoices
from ledger.leases import Lease
from ledger.payments import Recorded, record_sightings
from ledger.store import Ledger
from watcher.checks import misplaced
from watcher.doubts import refused
from watcher.effects import House, hold
from watcher.linking import link
from watcher.plan import ReadRange
from watcher.reading import to_sightings
from watcher.report import Report
from watcher.sizes import Sizes

TRIES: Final = 5
"""How often a provider may fail before the search goes on without it."""


class Search:
    """Steps of the searches of one chain, one finding at a time."""

    def __init__(self, ledger: Ledger, house: House, report: Report) -> None:
        self._ledger = ledger
        self._house = house
        self._report = report
        self._sizes = Sizes(house.chain.name)
        self._failures = 0

    async def step(
        self, client: ChainClient, cursor: Cursor, lease: Lease | None, finding: Finding
    ) -> int:
        """Look through the next piece; returns how many transfers were new to the books.

        :raises RpcError: a provider failed; it is asked again, a few times.
        """
        other = client.second()
        views = [client] if other is None else [other, client]
        if finding.asked >= len(views) or finding.next_block < finding.first_block:
            await self._next_provider(cursor, lease, finding, len(views))
            return 0
        view = views[finding.asked]
        size = self._sizes.of(view.provider)
        last = min(finding.next_block, int(cursor.cursor.number))
        first = max(finding.first_block, last - size + 1)
        try:
            with self._sizes.learning(view.provider, ReadRange(first, last)) as lesson:
                logs = await view.transfer_logs(
                    first, last, tokens=[finding.token_address], recipients=[finding.address]
                )
            if lesson.too_large:
                return 0
            headers, fresh = await self._placed(view, logs, cursor)
            sightings = await to_sightings(view, headers, fresh)
        except RpcError:
            self._failures += 1
            if self._failures < TRIES:
                raise
            self._failures = 0
            await self._next_provider(cursor, lease, finding, len(views))
            return 0
        self._failures = 0
        touched = Touched()
        async with self._ledger.transaction() as tx:
            await hold(tx, self._house.chain.name, cursor, lease)
            recorded = await record_sightings(tx, sightings, self._house.policy, touched)
            await move_search(
                tx, finding, next_block=first - 1, asked=finding.asked, exhausted=False
            )
            await refresh_invoices(tx, touched.ids, self._house.tolerance)
        self._report.reread("audit", last - first + 1, recorded)
        return _new(recorded)

    async def _next_provider(
        self, cursor: Cursor, lease: Lease | None, finding: Finding, views: int
    ) -> None:
        """From the top again with the next one; after the last the finding is named."""
        asked = finding.asked + 1
        async with self._ledger.transaction() as tx:
            await hold(tx, self._house.chain.name, cursor, lease)
            await move_search(
                tx,
                finding,
                next_block=finding.block_number,
                asked=asked,
                exhausted=asked >= views,
            )
        if asked >= views:
            self._report.unexplained(finding)

    async def _placed(
        self, view: ChainClient, logs: Sequence[Log], cursor: Cursor
    ) -> tuple[list[BlockHeader], list[Log]]:
        """The logs that the books lack, and headers that tie their blocks to a stored one.

        :raises BadReply: the blocks are not on the chain that the books hold.
        """
        chain = self._house.chain.name
        places = [(log.block_hash, log.log_index) for log in logs]
        async with self._ledger.reading() as tx:
            known = await known_places(tx, chain, places)
            fresh = [log for log in logs if (log.block_hash, log.log_index) not in known]
            if not fresh:
                return [], []
            low, high = fresh[0].block_number, fresh[-1].block_number
            above = await stored_blocks(tx, chain, high, min(high + LARGEST, cursor.cursor.number))
        if not above:
            raise refused(view, f"no block is stored within {LARGEST} above block {high}")
        headers = await view.headers(low, above[0].number)
        linked = link(headers[0].parent_hash, low - 1, headers)
        if linked.broken is not None or headers[-1].hash != above[0].hash:
            raise refused(
                view, f"blocks {low} to {above[0].number} are not those that were read before"
            )
        wrong = misplaced(headers, fresh)
        if wrong is not None:
            raise refused(view, wrong)
        return headers, fresh


def _new(recorded: Recorded) -> int:
    return recorded.found + recorded.ignored
