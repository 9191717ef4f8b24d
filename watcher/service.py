"""Following one chain: each tick is one bounded step, committed or given up as a whole.

Guarantees, whatever the providers say and wherever the process is killed:
every block between start and cursor has been read as part of one linked chain;
its payments are in the books if and only if its block is below the cursor; and
only a rewind takes the cursor back.

Does not guarantee that an answer was complete: see :mod:`watcher.checks` for
what is noticed at once, and :mod:`watcher.again` for what is read twice.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

from chain.client import ChainClient
from chain.heads import HeadSignal
from chain.rpc.errors import RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.errors import ConfigError, ConflictError, DatabaseError, LeaseLostError
from config.log import get_logger
from config.waiting import wait
from ledger.addresses import count_addresses, load_addresses
from ledger.cursors import BlockMark, Cursor, halt_chain, rewind, stored_blocks
from ledger.invoices import Tolerance, Touched, refresh_invoices
from ledger.leases import check
from ledger.payment_rows import PaymentPolicy
from ledger.provider_ranges import keep_provider_ranges, provider_ranges_of
from ledger.store import Ledger
from watcher.ahead import Ahead
from watcher.ancestor import FinalityViolation
from watcher.doubts import Doubts, IncompleteReply
from watcher.effects import AddressesGrew, House, Pass, Scan, commit_pass, hold
from watcher.filters import FilterChoice, LogFilter
from watcher.leader import Leader
from watcher.look import Look, Lookout
from watcher.match import AddressSet
from watcher.observer import SilentObserver, WatcherObserver
from watcher.opinions import Opinions
from watcher.plan import Nothing, ReadBlocks, ReadRange, next_step
from watcher.quiet import QuietWork
from watcher.reading import Fork, Reading, read_step
from watcher.reorg import Alone, find_ancestor
from watcher.report import Report
from watcher.sizes import Sizes
from watcher.status import Outcome, TickResult, WatcherStatus

log = get_logger(__name__)

_READ_AGAIN_BEFORE_STREAMING: Final = 2
"""Passes given up for new addresses before everything is read instead of asking by address."""
_READS_BETWEEN_CHECKS: Final = 2
"""Passes in a row that end at the head, after which something is checked all the same."""
LOOK_LASTS: Final = 1.0
"""Seconds that a catch-up goes by what it saw of the head."""
EXPECTED: Final = (RpcError, DatabaseError, ConflictError, IncompleteReply, ConfigError)
"""What a tick may fail with and the next one get over: told in the status, never fatal."""


class ChainWatcher:
    """Follows one chain; see the module.

    :param lease_owner: names this process start among several on one database; ``None``: alone.
    :param heads: wakes the watcher before its poll interval is over; ``None``: it polls.
    :param few_addresses: up to here payments are asked for by address.
    """

    def __init__(
        self,
        chain: ChainSettings,
        *,
        client: ChainClient,
        ledger: Ledger,
        policy: PaymentPolicy,
        tolerance: Tolerance,
        clock: Clock,
        observer: WatcherObserver | None = None,
        lease_owner: str | None = None,
        heads: HeadSignal | None = None,
        few_addresses: int | None = None,
    ) -> None:
        self._chain = chain
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._heads = heads
        self._house = House(chain, policy, tolerance)
        self._addresses = AddressSet() if few_addresses is None else AddressSet(few_addresses)
        self._filters = FilterChoice()
        self._known_index = -1
        self._read_again = 0
        self._reads_in_a_row = 0
        self._unsettled = True
        self._doubts = Doubts()
        self._sizes = Sizes(chain.name)
        self._ahead = Ahead(clock)
        self._last_look: tuple[float, Look] | None = None
        self._alone = Alone(chain, clock)
        self._leader = Leader(ledger, f"watcher:{chain.name}", lease_owner, clock)
        self._report = Report(chain, clock, observer or SilentObserver())
        self._lookout = Lookout(chain, client, ledger, clock, self._report)
        self._opinions = Opinions(ledger, client, self._house, clock, self._report)
        self._quiet = QuietWork(ledger, self._house, clock, self._doubts, self._report)

    @property
    def name(self) -> str:
        """Of the chain."""
        return self._chain.name

    def status(self) -> WatcherStatus:
        """As of the last tick; cheap."""
        return self._report.status(self._client.provider_count)

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until ``stop``; waits for the poll interval whenever there is nothing left to do."""
        keeper = asyncio.create_task(self._leader.keep(stop), name=f"lease {self.name}")
        try:
            while not stop.is_set():
                if not await self._guarded_tick():
                    await self._rest(stop)
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        self._ahead.drop()
        try:
            await self._leader.resign()
        except DatabaseError as error:
            self._report.failed(error)  # the lease runs out by itself

    async def _guarded_tick(self) -> bool:
        """Whether there is more to do at once."""
        try:
            return (await self.tick()).more
        except EXPECTED as error:
            self._report.failed(error)
        except LeaseLostError as error:
            self._report.failed(error)
            self._leader.lost()
        return False

    async def _rest(self, stop: asyncio.Event) -> None:
        """Until the next poll, or until a node says that there is a new block."""
        seconds = self._chain.poll_interval.total_seconds()
        if self._heads is None:
            await wait(self._clock, seconds, stop)
        else:
            await self._heads.wait(seconds, stop)

    async def tick(self) -> TickResult:
        """One bounded step.

        :raises RpcError, DatabaseError, ConflictError, IncompleteReply: nothing was committed;
            the next tick tries again.
        :raises ConfigError: the provider, or the database, belongs to another chain.
        :raises LeaseLostError: another process leads; nothing was committed.
        """
        if not await self._leader.lead():
            self._ahead.drop()
            self._report.standing_by(await self._lookout.stored_cursor())
            return TickResult(Outcome.STANDBY)
        cursor = await self._lookout.cursor(self._leader.lease)
        self._report.at(cursor)
        if cursor.halted_reason is not None:
            self._ahead.drop()
            self._report.succeeded(at_head=False)
            return TickResult(Outcome.HALTED)
        if not self._sizes.recalled:
            async with self._ledger.reading() as tx:
                self._sizes.recall(await provider_ranges_of(tx, self._chain.name), tx.now)
        await self._load_addresses()
        look = await self._look(cursor)
        step = next_step(
            cursor=cursor.cursor.number,
            head=look.head.number,
            final=look.final,
            range_size=self._ahead.range_size(self._sizes.of(look.client.provider)),
        )
        try:
            if look.elsewhere:
                result = await self._turn_back(cursor, look, Fork(look.head))
            elif isinstance(step, Nothing):
                result = await self._idle(cursor, look)
            else:
                result = await self._advance(cursor, look, step)
        except AddressesGrew:
            self._ahead.drop()  # what it looked for is out of date
            self._read_again += 1
            result = TickResult(Outcome.AGAIN, more=True)
        except (RpcError, IncompleteReply) as error:
            # A node that has pruned these blocks, or keeps no logs, is well in all else.
            self._lookout.avoid(error.provider)
            raise
        self._report.succeeded(at_head=not result.more)
        return result

    # --- forward -----------------------------------------------------------------------

    async def _look(self, cursor: Cursor) -> Look:
        """The chain as it is; while ranges are ready that the last look allowed, that one.

        Each pass of a catch-up would otherwise wait for a head that it has no use for.
        """
        last, now = self._last_look, self._clock.monotonic()
        if last is not None and now - last[0] < LOOK_LASTS:
            look = last[1]
            provider = look.client.provider
            if self._ahead.follows(cursor.cursor, provider, self._filter(), look.final):
                return look
        look = await self._lookout.look(cursor)
        self._last_look = (now, look)
        return look

    async def _advance(
        self, cursor: Cursor, look: Look, step: ReadRange | ReadBlocks
    ) -> TickResult:
        asked, provider = self._filter(), look.client.provider
        known_index = self._known_index
        if isinstance(step, ReadRange):
            self._read_ahead(cursor.cursor.number, look, asked)
        found = await self._ahead.take(cursor.cursor, provider, asked, look.final)
        if found is not None:
            step, reading = found
        else:
            reading = await self._read(look, step, cursor.cursor, asked)
        if reading is None:
            return TickResult(Outcome.AGAIN, more=True)
        if isinstance(reading, Fork):
            return await self._turn_back(cursor, look, reading)
        self._read_ahead(reading.headers[-1].number, look, asked)
        scan = Scan(known_index, asked, reading.matcher)
        await self._commit(look, self._pass(cursor, look, step, reading, scan))
        self._filters.saw(reading.headers)
        more = reading.headers[-1].number < look.head.number
        result = TickResult(Outcome.ADVANCED, blocks=len(reading.headers), more=more)
        return result if more else await self._between(look, result)

    def _read_ahead(self, top: int, look: Look, asked: LogFilter) -> None:
        """Ask for the ranges above ``top``; those that follow come while one is committed."""
        self._ahead.begin(
            top,
            asked,
            lambda following: self._read(look, following, None, asked),
            provider=look.client.provider,
            final=min(look.final, look.head.number),
            allowed=self._sizes.of(look.client.provider),
        )

    async def _read(
        self, look: Look, step: ReadRange | ReadBlocks, above: BlockMark | None, asked: LogFilter
    ) -> Reading | Fork | None:
        """``None``: too large; the next try is smaller.

        :param above: the block below, ``None`` where it has not been read yet.
        """
        found: list[Reading | Fork] = []
        with self._sizes.learning(look.client.provider, step):
            reading = await read_step(
                look.client,
                step,
                above,
                head=look.head,
                addresses=self._addresses,
                asked=asked,
                doubts=self._doubts,
            )
            found.append(reading)
        return found[0] if found else None

    def _pass(
        self,
        cursor: Cursor,
        look: Look,
        step: ReadRange | ReadBlocks,
        reading: Reading,
        scan: Scan,
    ) -> Pass:
        below = isinstance(step, ReadRange)
        return Pass(
            cursor=cursor,
            headers=reading.headers,
            stored=reading.headers[-1:] if below else reading.headers,
            sightings=reading.sightings,
            scan=scan,
            final=look.final,
            tags=look.tags,
            agreed=None,
        )

    async def _commit(self, look: Look, work: Pass) -> None:
        work = await self._opinions.gather(look.client, work)
        async with self._ledger.transaction() as tx:
            effects = await commit_pass(tx, self._house, work, self._leader.lease)
            now, learned = tx.now, self._sizes.changed(tx.now)
            await keep_provider_ranges(tx, self._chain.name, learned)
        self._sizes.kept(learned)
        self._unsettled = effects.waiting > 0
        if not effects.fresh:
            self._read_again = 0  # while new ones keep coming, go on reading everything
        else:
            self._addresses.add(fresh.address for fresh in effects.fresh)
            self._ahead.missed(fresh.address for fresh in effects.fresh)
            self._known_index = effects.fresh[-1].index
        self._report.committed(work, effects, look.head, now, len(self._addresses))

    # --- at the head -------------------------------------------------------------------

    async def _idle(self, cursor: Cursor, look: Look) -> TickResult:
        """No new block: settle what waits, then read something a second time."""
        waits = self._unsettled and self._opinions.due()
        if waits or (look.final > cursor.final.number and self._opinions.due()):
            work = Pass(cursor, (), (), (), None, look.final, look.tags, None)
            await self._commit(look, work)
            # What follows wants a cursor as it now is: the next tick reads it.
            return TickResult(Outcome.IDLE)
        self._report.at_head(cursor, look.head)
        return await self._check(cursor, look)

    async def _between(self, look: Look, read: TickResult) -> TickResult:
        """A step of what waits for a quiet moment: where blocks outrun the polls, none comes."""
        self._reads_in_a_row += 1
        due = self._reads_in_a_row >= _READS_BETWEEN_CHECKS
        cursor = await self._lookout.stored_cursor() if due else None
        if cursor is None or cursor.halted_reason is not None:
            return read
        return replace(read, more=(await self._check(cursor, look)).more)

    async def _check(self, cursor: Cursor, look: Look) -> TickResult:
        """A step of what waits for a quiet moment."""
        self._reads_in_a_row = 0
        checked = await self._quiet.step(
            look.client, cursor, self._sizes.of(look.client.provider), self._addresses,
            self._filter(), self._known_index, self._leader.lease,
        )  # fmt: skip
        if checked.result.outcome is Outcome.RESCANNED:
            self._read_again = 0
        self._unsettled = self._unsettled or checked.found
        return checked.result

    # --- backward ----------------------------------------------------------------------

    async def _turn_back(self, cursor: Cursor, look: Look, fork: Fork) -> TickResult:
        async with self._ledger.reading() as tx:
            stored = await stored_blocks(tx, self.name, cursor.final.number, cursor.cursor.number)
        verdict = await find_ancestor(look.client, fork.child, stored, cursor.final, self._alone)
        if isinstance(verdict, FinalityViolation):
            await self._halt(verdict)
            return TickResult(Outcome.HALTED)
        ancestor = next(block for block in stored if block.number == verdict.number)
        touched = Touched()
        async with self._ledger.transaction() as tx:
            await hold(tx, self._chain.name, cursor, self._leader.lease)
            depth = await rewind(
                tx,
                self._chain.name,
                expected=cursor.cursor,
                ancestor=ancestor,
                policy=self._house.policy,
                touched=touched,
            )
            await refresh_invoices(tx, touched.ids, self._house.tolerance)
        self._report.rewound(depth, ancestor, len(touched.ids))
        return TickResult(Outcome.REWOUND, blocks=depth, more=True)

    async def _halt(self, violation: FinalityViolation) -> None:
        reason = (
            f"block {violation.number} was final as 0x{violation.stored.hex()} "
            f"and is no longer on the chain"
        )
        async with self._ledger.transaction() as tx:
            if self._leader.lease is not None:
                await check(tx, self._leader.lease)
            await halt_chain(tx, self._chain.name, reason)
        self._report.violated(reason)

    # --- addresses ---------------------------------------------------------------------

    def _filter(self) -> LogFilter:
        stream = self._read_again >= _READ_AGAIN_BEFORE_STREAMING
        return self._filters.choose(self._addresses, stream=stream)

    async def _load_addresses(self) -> None:
        """At the start all of them, after that what a given-up pass has found to be new."""
        if self._known_index >= 0 and self._read_again == 0:
            return
        if self._known_index < 0:
            async with self._ledger.reading() as tx:
                self._addresses.reserve(await count_addresses(tx))
        while True:
            async with self._ledger.reading() as tx:
                digits, last = await load_addresses(tx, self._known_index)
            if not digits:
                break
            self._addresses.add_text(digits)
            self._known_index = last
        self._report.watching(len(self._addresses))
