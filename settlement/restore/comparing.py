"""Whether these books know everything that left: asked whenever a process takes the lead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from sqlalchemy.exc import IntegrityError

from chain.model import Receipt
from chain.rpc.errors import NodeBehind
from config.units import Address, Hash32, to_hex
from ledger.attempts import open_attempts
from ledger.batches import next_onchain_id
from ledger.comparisons import compared_block, note_compared
from ledger.cursors import Cursor
from ledger.holds import close_holds, hold
from ledger.lanes import Lane, all_lanes, settle_nonce
from ledger.leases import Lease, check, set_ready
from ledger.states import TransactionStatus
from settlement.agreed import told_alike
from settlement.context import Context
from settlement.gifts import book_gifts
from settlement.lanes.adopt import epoch_of
from settlement.lanes.agreement import borne_out, close_dispute
from settlement.lanes.finality import Finality, is_final
from settlement.lanes.sending import note_sent
from settlement.receipts import each_receipt
from settlement.restore.adopting import adopt_inflow, adopt_outflow, book_gift
from settlement.restore.replaying import Replay, missing_records, replay
from settlement.restore.scanning import (
    Inflows,
    executed_ids,
    inflows,
    unknown_inflows,
    unknown_outflows,
    unknown_sweeps,
)
from wallets.keyring import Lane as SponsorLane

_PATIENCE = 3
"""Ticks for which nothing more came although the watcher has caught up: nothing will."""


class Comparison:
    """One chain's books against journal and chain, under one lease; stepped until it is done.

    What it guarantees once done: every batch id that the chain has executed, every
    journaled batch and nonce, and every outflow of the treasury up to the head is in the
    books. What it does not: that a merchant's invoices, lost with the database, are back.
    """

    def __init__(self, ctx: Context, lease: Lease) -> None:
        self._ctx = ctx
        self._token = lease.fencing_token
        self._target: int | None = None
        self._began_at: int | None = None
        self._quiet = 0
        self._explained: Counter[Address] = Counter()
        self._counted: set[Hash32] = set()
        self._restored = False
        self._final: int | None = None
        self._all_booked = False
        self.done = False
        self.waits_for = "the comparison with the chain"

    def belongs_to(self, lease: Lease) -> bool:
        """Whether it was begun under this very holding of the lease."""
        return lease.fencing_token == self._token

    def taken_up(self, lease: Lease) -> Comparison:
        """The comparison under a later lease: everything is asked anew.

        Where only one's own lease lapsed, and nobody led between, the waiting goes on: a
        slow machine, whose leases lapse again and again, would else wait for ever.
        """
        again = Comparison(self._ctx, lease)
        if not self.done and lease.fencing_token == self._token + 1:
            again._target, again._quiet = self._target, self._quiet
            again._began_at = self._began_at
            again._explained, again._counted = self._explained, self._counted
            again._restored = self._restored
        return again

    def tick_ended(self) -> None:
        """A whole tick went by: what was written again has been followed once more."""
        self._quiet += 1

    def reopen(self, reason: str) -> None:
        """Something turned up that should be known: compare again before anything is sent."""
        self.done = False
        self.waits_for = reason
        # The head at an earlier look says nothing about what has to be seen now.
        self._target, self._quiet = None, 0

    async def step(self, lease: Lease, finality: Finality, *, deployed: bool) -> bool:
        """One bounded look; ``True`` once books and chain agree and sending may begin.

        :raises RpcError: the chain does not answer; ask again.
        :raises JournalError: the journal cannot be read: nothing is sent.
        """
        if self.done:
            return True
        cursor = finality.cursor
        if cursor is None or cursor.halted_reason is not None:
            self.waits_for = "the watcher"
            return False
        self._final = cursor.final.number
        try:
            waits = await self._look(lease, finality, cursor, deployed=deployed)
        except IntegrityError:
            waits = "the journal contradicts the books: an id or nonce holds something else"
        except NodeBehind as error:
            # Until they agree, what is in flight is followed; if that lasts, a hold says so.
            waits = str(error)
        await self._tell(lease, finality, waits)
        return self.done

    async def _look(
        self, lease: Lease, finality: Finality, cursor: Cursor, *, deployed: bool
    ) -> str | None:
        """What is still awaited; ``None``: everything is known."""
        await self._note_mined(lease)
        replayed = await self._replay(lease, cursor)
        if replayed.waits is not None:
            return replayed.waits
        seen = None
        if deployed:  # else nothing can have left
            first, last = await self._first(cursor), await self._last(cursor)
            if last is None:
                return "the chain's head"
            seen = await inflows(self._ctx, first, last)
            waits = await self._on_chain(lease, finality, seen)
            if waits is not None:
                return waits
        try:
            # One that providers differ about stops its token, by the difference; it stops no chain.
            self._all_booked, _ = await book_gifts(
                self._ctx, lease, finality, cursor.final.number, seen=seen
            )
        except NodeBehind:
            self._all_booked = False
        return None

    async def _on_chain(self, lease: Lease, finality: Finality, seen: Inflows) -> str | None:
        """What the chain shows and the books lack."""
        out = await unknown_outflows(self._ctx, seen.first, seen.last)
        ahead = await self._ahead()
        swept = await unknown_sweeps(self._ctx, seen)
        if out or ahead or swept or self._restored:
            waits = await self._adopt(lease, finality, seen, out)
            if waits is not None:
                return waits
        if strange := await self._unknown_ids():
            return f"batch ids {sorted(strange)[:3]} are executed, and no node shows by which logs"
        await self._raise_nonces(lease)
        return None

    async def _last(self, cursor: Cursor) -> int | None:
        """The block up to which is looked: the head, and no less than what must have been seen, nor
        than what is final: a node that ends below it shows nothing of what left since."""
        head = await self._ctx.client.block("latest")
        return None if head is None else max(head.number, self._target or 0, cursor.final.number)

    async def _note_mined(self, lease: Lease) -> None:
        """A backup made between P2 and P3 says *signed* of what was sent and mined since.

        Only what was sent is followed, and nothing is sent before the end of this: what such
        a sweep brought would be missing to the payouts drawn on it.
        """
        ctx = self._ctx
        async with ctx.ledger.reading() as tx:
            attempts = await open_attempts(tx, ctx.name)
        signed = {a.tx_hash: a for a in attempts if a.status is TransactionStatus.SIGNED}
        async for receipt in each_receipt(ctx.client, list(signed)):
            async with ctx.ledger.transaction() as tx:
                await check(tx, lease)
                await note_sent(tx, signed[receipt.tx_hash], "mined before it was noted")
            self._quiet = 0

    async def _replay(self, lease: Lease, cursor: Cursor) -> Replay:
        ctx = self._ctx
        if ctx.journal is None:
            return Replay(0, None)
        missing = await missing_records(ctx.ledger, ctx.journal, ctx.name)
        if not missing:
            return Replay(0, None)
        await self._found_out(f"{len(missing)} records of the journal are not in the database")
        done = await replay(ctx, lease, missing, force=self._caught_up(cursor, await self._goal()))
        if done.written:
            self._quiet = 0
        return done

    async def _found_out(self, reason: str) -> None:
        if not self._restored:
            self._restored = True
            self._ctx.observer.note("restored_database", chain=self._ctx.name, reason=reason)

    async def _goal(self) -> int:
        """The head when the loss was found out: what came in until then must be seen first."""
        if self._target is None:
            head = await self._ctx.client.block("latest")
            assert head is not None, "a chain without a head block"
            self._target = head.number
        return self._target

    def _caught_up(self, cursor: Cursor, goal: int) -> bool:
        """Whether the watcher holds ``goal`` as final, and nothing has changed for a while."""
        if cursor.final.number < goal:
            self._quiet = 0
        return self._quiet > _PATIENCE

    async def _first(self, cursor: Cursor) -> int:
        """Blocks below it are known: they were compared, or lie before the first comparison."""
        async with self._ctx.ledger.reading() as tx:
            mark = await compared_block(tx, self._ctx.name)
        if mark is not None:
            return mark
        if await self._unknown_ids() or await self._ahead() or await self._lanes_forgotten():
            return cursor.start_block  # these books are from before the first comparison
        # What is final moves on while this waits, and would take what it waits for with it.
        if self._began_at is None:
            self._began_at = cursor.final.number
        return self._began_at

    async def _lanes_forgotten(self) -> bool:
        """Whether a sponsor has sent something, and the books have no lane of it."""
        ctx, lanes = self._ctx, get_args(SponsorLane)
        async with ctx.ledger.reading() as tx:
            known = {lane.lane for lane in await all_lanes(tx, ctx.name)}
        senders = [ctx.wallets.sponsor(lane).address for lane in lanes if lane not in known]
        return any(await told_alike(ctx.client, lambda c: c.nonces(senders), since=self._final))

    async def _unknown_ids(self) -> set[int]:
        """Executed ids just above the highest that the books know."""
        client, treasury = self._ctx.client, self._ctx.contracts.treasury
        epoch = await told_alike(client, lambda c: epoch_of(c, treasury), since=self._final)
        async with self._ctx.ledger.reading() as tx:
            following = await next_onchain_id(tx, self._ctx.name, epoch)
        return await told_alike(
            client, lambda c: executed_ids(c, treasury, epoch, following), since=self._final
        )

    async def _ahead(self) -> bool:
        """Whether a sender has used nonces that no attempt in the books uses."""
        used = await self._used()
        return any(nonce > lane.next_nonce for nonce, lane in used)

    async def _used(self) -> list[tuple[int, Lane]]:
        """Each lane with the nonces that the chain has seen of its sender."""
        async with self._ctx.ledger.reading() as tx:
            lanes = await all_lanes(tx, self._ctx.name)
        senders = [lane.sender for lane in lanes]
        used = await told_alike(self._ctx.client, lambda c: c.nonces(senders), since=self._final)
        return list(zip(used, lanes, strict=True))

    async def _adopt(
        self, lease: Lease, finality: Finality, seen: Inflows, out: Sequence[Receipt]
    ) -> str | None:
        """Book what the logs show, what came in first: what was paid out had come in before. A gift
        that is booked after an outflow would have been counted as what covered it, too."""
        ctx = self._ctx
        if out:
            await self._found_out(f"{len(out)} outflows are not in the database")
        assert finality.cursor is not None
        goal = await self._goal()
        due = seen.within(seen.first, goal) or await inflows(ctx, seen.first, goal)
        incoming = await unknown_inflows(ctx, due)
        if not incoming and not out:
            return None
        if not self._caught_up(finality.cursor, goal):
            return f"the watcher: block {goal} is not final yet"
        for receipt in (*incoming, *out):
            if not await is_final(ctx.client, ctx.ledger, finality, receipt):
                return f"block {receipt.block_number} to be final"
            if not await borne_out(ctx, lease, finality, receipt):
                return f"two providers to show the same receipt of {to_hex(receipt.tx_hash)}"
            async with ctx.ledger.transaction() as tx:
                await check(tx, lease)
                if receipt in out:
                    await adopt_outflow(tx, ctx, receipt)
                elif not await adopt_inflow(tx, ctx, receipt):
                    await book_gift(tx, ctx, receipt)
                    continue
                await close_dispute(tx, ctx, receipt)
            # Each look comes by it again, until there is nothing left to wait for.
            if receipt.tx_hash not in self._counted:
                self._counted.add(receipt.tx_hash)
                self._explained[receipt.sender] += 1
        return None

    async def _raise_nonces(self, lease: Lease) -> None:
        """Where every nonce that is ahead was explained, go on above it; else the lane halts."""
        ctx = self._ctx
        for nonce, lane in await self._used():
            if lane.next_nonce < nonce <= lane.next_nonce + self._explained[lane.sender]:
                async with ctx.ledger.transaction() as tx:
                    await check(tx, lease)
                    await settle_nonce(tx, ctx.name, lane.lane, nonce)
                self._explained[lane.sender] = 0

    async def _tell(self, lease: Lease, finality: Finality, waits: str | None) -> None:
        ctx = self._ctx
        place = f"{ctx.name}/comparison"
        self.waits_for = waits or ""
        async with ctx.ledger.transaction() as tx:
            await check(tx, lease)
            if waits is None:
                assert finality.cursor is not None
                if self._all_booked:
                    await note_compared(tx, ctx.name, finality.cursor.final.number)
                await close_holds(tx, "batch", place, "the books agree with journal and chain")
                await set_ready(tx, lease)
                self.done = True
            elif self._quiet > 2 * _PATIENCE:
                # Waiting alone will not end it: a person must look.
                await hold(tx, "batch", "comparison", place, waits)
