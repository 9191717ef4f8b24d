"""What waits for a quiet moment: second readings, rescans, late tokens, balance audit, upkeep."""

from __future__ import annotations

from dataclasses import dataclass

from chain.client import ChainClient
from config.clock import Clock
from ledger.cursors import Cursor
from ledger.leases import Lease
from ledger.store import Ledger
from watcher.auditor import Auditor
from watcher.doubts import Doubts
from watcher.effects import House
from watcher.filters import LogFilter
from watcher.late import LateTokens
from watcher.match import AddressSet
from watcher.report import Report
from watcher.rereader import Rereader
from watcher.status import Outcome, TickResult
from watcher.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Checked:
    """``found``: payments that had been missed are in the books."""

    result: TickResult
    found: bool = False


class QuietWork:
    """One chain's; a step at a time."""

    def __init__(
        self, ledger: Ledger, house: House, clock: Clock, doubts: Doubts, report: Report
    ) -> None:
        self._auditor = Auditor(ledger, house, clock, report)
        self._upkeep = Upkeep(ledger, house, clock, report)
        self._rereader = Rereader(ledger, house, clock, doubts, report)
        self._late = LateTokens(ledger, house, clock, doubts, report)

    async def step(
        self,
        client: ChainClient,
        cursor: Cursor,
        size: int,
        addresses: AddressSet,
        asked: LogFilter,
        known_index: int,
        lease: Lease | None,
    ) -> Checked:
        """Read something a second time; where nothing is to be, hold balances against the books.

        :raises RpcError, IncompleteReply, AddressesGrew, ConflictError: nothing was committed.
        """
        again = await self._rereader.step(
            client, cursor, size, addresses, asked, known_index, lease
        )
        if again is not None:
            more = again.more or again.found
            return Checked(TickResult(Outcome.RESCANNED, again.blocks, more), again.found)
        late = await self._late.step(client, cursor, addresses, asked, known_index, lease)
        if late is not None:
            return Checked(TickResult(Outcome.RESCANNED, 1, more=True), found=late.found > 0)
        step = await self._auditor.step(client, cursor, lease)
        if step is None:
            await self._upkeep.step(cursor, lease)
            return Checked(TickResult(Outcome.IDLE))
        return Checked(TickResult(Outcome.AUDITED, more=step.more), step.found)
