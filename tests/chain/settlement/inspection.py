"""What settlement told, what the books tell, and what an operator does to them, a line each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from config.chains import ChainSettings
from config.units import Address
from ledger.attempts import Attempt, open_attempts
from ledger.batches import Batch, open_batches
from ledger.books import totals_of
from ledger.cursors import get_cursor
from ledger.holds import Hold, open_holds, release_hold
from ledger.lanes import Lane, get_lane
from ledger.pauses import active_pauses, pause, resume
from ledger.payouts import NewPayout, create_payouts
from ledger.postings import AccountKind, AccountRef, balance
from ledger.schema import batches, payouts, transactions
from ledger.sql import as_row
from ledger.store import Ledger
from settlement.lanes.finality import Finality
from settlement.observer import SilentObserver


@dataclass
class Recorder(SilentObserver):
    """Keeps what settlement told."""

    notes: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    replacements: int = 0
    sealed: list[tuple[str, int]] = field(default_factory=list)

    def note(self, event: str, **fields: object) -> None:
        self.notes.append((event, fields))

    def replaced(self, chain: str, lane: str) -> None:
        self.replacements += 1

    def batch_sealed(self, chain: str, lane: str, size: int) -> None:
        self.sealed.append((lane, size))

    def count(self, event: str) -> int:
        return sum(name == event for name, _ in self.notes)


class Inspection:
    """The books of one chain, each look in a transaction of its own."""

    ledger: Ledger
    chain: ChainSettings

    # --- payouts -----------------------------------------------------------------------

    async def promise(self, merchant_id: str, symbol: str, amount: int, to: Address) -> str:
        """A payout as a run would make it."""
        async with self.ledger.transaction() as tx:
            new = NewPayout(merchant_id, "anvil", symbol, amount, to)
            return (await create_payouts(tx, [new]))[0]

    async def payout(self, payout_id: str) -> dict[str, Any]:
        async with self.ledger.reading() as tx:
            row = (await tx.conn.execute(payouts.select().where(payouts.c.id == payout_id))).one()
        return dict(as_row(row))

    async def status(self, payout_id: str) -> str:
        return str((await self.payout(payout_id))["status"])

    def all_are(self, status: str, *ids: str) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return all([await self.status(i) == status for i in ids])

        return check

    # --- lanes -------------------------------------------------------------------------

    async def lane(self, name: str) -> Lane:
        async with self.ledger.reading() as tx:
            found = await get_lane(tx, "anvil", name)
        assert found is not None, f"{name}: never used"
        return found

    async def attempts(self, lane: str | None = None) -> list[Attempt]:
        """Those that are not final."""
        async with self.ledger.reading() as tx:
            return await open_attempts(tx, "anvil", lane)

    async def open_batches(self, lane: str | None = None) -> list[Batch]:
        async with self.ledger.reading() as tx:
            return await open_batches(tx, "anvil", lane)

    async def rows(self, table: Any) -> list[Any]:
        """All of a table, oldest first."""
        async with self.ledger.reading() as tx:
            return list(await tx.conn.execute(table.select().order_by(table.c.id)))

    async def transactions(self, lane: str | None = None) -> list[Any]:
        """Every attempt that ever was, of one lane or of all."""
        return [row for row in await self.rows(transactions) if lane in (None, row.lane)]

    async def attempt_statuses(self) -> list[str]:
        """Of every attempt that ever was."""
        return [row.status for row in await self.transactions()]

    async def batches(self) -> list[tuple[str, str]]:
        """(purpose, status) of every batch that ever was."""
        return [(row.purpose, row.status) for row in await self.rows(batches)]

    async def payout_batches(self) -> list[tuple[int, int, str]]:
        """(epoch, id on chain, status) of every batch of payouts that ever was."""
        found = [row for row in await self.rows(batches) if row.purpose == "payout"]
        return [(row.epoch, row.onchain_id, row.status) for row in found]

    async def finality(self) -> Finality:
        """As a tick sees it."""
        async with self.ledger.reading() as tx:
            return Finality(await get_cursor(tx, "anvil"))

    # --- accounts ----------------------------------------------------------------------

    async def booked(self, kind: AccountKind, symbol: str = "USDC") -> int:
        """What an account of the house holds, in base units."""
        ref = AccountRef(kind, "anvil", symbol)
        async with self.ledger.reading() as tx:
            return balance(kind, (await totals_of(tx, [ref]))[ref])

    # --- what has stopped --------------------------------------------------------------

    async def holds(self, about: str | None = None) -> list[Hold]:
        """Everything on hold, or what is of one ``object_type``."""
        async with self.ledger.reading() as tx:
            found = await open_holds(tx)
        return [hold for hold in found if about in (None, hold.object_type)]

    async def release(self, hold: Hold, resolution: str = "released") -> None:
        async with self.ledger.transaction() as tx:
            await release_hold(tx, hold.id, resolution)

    async def pauses(self) -> list[str]:
        """The scopes that are stopped."""
        async with self.ledger.reading() as tx:
            return [pause.scope for pause in await active_pauses(tx)]

    async def pause(self, scope: str, reason: str | None = None) -> None:
        async with self.ledger.transaction() as tx:
            await pause(tx, scope, reason)

    async def resume(self, scope: str) -> None:
        async with self.ledger.transaction() as tx:
            await resume(tx, scope)
