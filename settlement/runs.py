"""Payout runs: whoever is due gets what is available, as promises in the books.

A run needs no key and no chain: it plans from balances, and in the same commit
reserves the money, queues the payouts and moves the due dates on. Two processes
that run at once are told apart by the locks on the merchants' rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from config.errors import NotFoundError
from config.models import Settings
from config.money import least_amount
from config.units import Address, ChainName, TokenSymbol
from ledger.cursors import get_cursor
from ledger.leases import ready_names
from ledger.limits import Promised, base_units, limits_of, lock_promises, promised_today
from ledger.payouts import NewPayout, create_payouts
from ledger.receivables import recover_debts
from ledger.refunds import release_cooled
from ledger.runs import (
    MerchantBalance,
    add_page,
    bring_forward,
    create_run,
    destinations_of,
    due_merchants,
    get_merchants,
    merchant_balances,
    merchants_after,
    merchants_without_date,
    move_run,
    own_addresses,
    own_schedules,
    planned_runs_over,
    requested_runs,
    set_next_settlement,
)
from ledger.store import Ledger, Tx
from ledger.terms import income_since
from ledger.views import Row
from settlement.late import Late, due_part, late_part
from settlement.leading import lease_name
from settlement.plan_view import view_plan
from settlement.planning import HALTED, NOT_COMPARED, Plan, Rules, make_plan
from settlement.schedule import judge, schedule_of
from settlement.scheduler import every_second
from settlement.terms import Income, Terms, Withheld, withheld

_SOON: Final = timedelta(seconds=5)
_PATIENCE: Final = timedelta(seconds=60)
"""How long a run that was asked for waits for chains that are not compared yet."""
_AT_ONCE: Final = 200
"""Merchants planned in one commit: bounded memory, short locks."""


async def request_run(tx: Tx, merchant_id: str | None, trigger: str) -> str:
    """Enqueue a run of one merchant or of all, for the settlement that runs; returns its id.

    :param trigger: ``api`` or ``command``.
    :raises NotFoundError: no such merchant.
    """
    if merchant_id is not None and not await get_merchants(tx, [merchant_id]):
        raise NotFoundError(f"no merchant {merchant_id[:40]!r}")
    return await create_run(tx, merchant_id, trigger)


class PayoutRuns:
    """Turns due dates and requests into queued payouts.

    :param refused: addresses that no payout may go to, besides our deposit addresses.
    :param gated: promise nothing on a chain before its leader has compared the books with it:
        a restored database would promise again what was paid.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        settings: Settings,
        refused: Collection[Address],
        gated: bool = True,
    ) -> None:
        self._ledger = ledger
        self._gated = gated
        self._settings = settings
        self._refused = frozenset(refused)
        self._dates_fit = False
        self._late: dict[str, Late] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until told to stop; what goes wrong goes to the supervisor."""
        async for _ in every_second(self._ledger.clock, stop):
            while await self.tick():
                if stop.is_set():
                    return

    async def tick(self) -> bool:
        """Plan what is due or was asked for; ``True`` when there may be more."""
        async with self._ledger.transaction() as tx:
            limits = limits_of(self._settings.settlement, tx.catalogue)
            if limits.count_days:
                await lock_promises(tx)
            if not self._dates_fit:
                await self._fit_dates(tx)
            await self._set_first_dates(tx)
            await recover_debts(tx)
            await release_cooled(tx, limits)
            blind = await self._not_compared(tx)
            due = await due_merchants(tx, _AT_ONCE)
            late = await self._settle_due(tx, due, blind) if due else {}
            left = _AT_ONCE
            for run in await requested_runs(tx, _AT_ONCE):
                left -= await self._settle_requested(tx, run, blind, left)
                if left <= 0:
                    break
            if len(due) < _AT_ONCE:  # it reads every payout on its way: not once a page
                for run_id in await planned_runs_over(tx):
                    await move_run(tx, run_id, "done")
        # Not before the commit: what was not paid is not late, it is due.
        self._dates_fit = True
        settled = {row["id"] for row in due}
        self._late = {m: old for m, old in self._late.items() if m not in settled} | late
        return len(due) == _AT_ONCE or left <= 0

    async def preview(self, merchant_id: str | None = None) -> Plan:
        """What a run would do now; nothing is written.

        :raises NotFoundError: no such merchant.
        """
        async with self._ledger.reading() as tx:
            found = await get_merchants(tx, None if merchant_id is None else [merchant_id])
            if merchant_id is not None and not found:
                raise NotFoundError(f"no merchant {merchant_id[:40]!r}")
            return await self._plan(tx, found, (), lock=False)

    async def _fit_dates(self, tx: Tx) -> None:
        """Once a process: another schedule may be configured than when the dates were stored,
        or this program reads one in another way.
        """
        default = self._settings.settlement.schedule
        for own in (None, *await own_schedules(tx)):
            latest = schedule_of(own, default).next_after(tx.now)
            if latest is not None:
                await bring_forward(tx, own, latest)

    async def _set_first_dates(self, tx: Tx) -> None:
        fresh = await merchants_without_date(tx)
        await self._move_dates(tx, fresh)

    async def _move_dates(self, tx: Tx, rows: Sequence[Row]) -> None:
        default = self._settings.settlement.schedule
        moments = [
            (
                row["id"],
                judge(
                    schedule_of(row["schedule"], default), row["next_settlement_at"], tx.now
                ).next_at,
            )
            for row in rows
        ]
        await set_next_settlement(tx, [(m, at) for m, at in moments if at is not None])

    async def _not_compared(self, tx: Tx) -> set[str]:
        """Chains whose leader does not know yet whether these books are complete."""
        names = {lease_name(token.chain): token.chain for token in tx.catalogue}
        if not self._gated:
            return set()
        ready = await ready_names(tx, names)
        return {chain for name, chain in names.items() if name not in ready}

    async def _settle_due(self, tx: Tx, due: list[Row], blind: Collection[str]) -> dict[str, Late]:
        """Promise what is due; returns what is late from now on, by merchant."""
        missing = due_part(await self._blind_balances(tx, due, blind), self._late, tx.now)
        default = self._settings.settlement.schedule
        next_due = {
            row["id"]: schedule_of(row["schedule"], default).next_after(tx.now) for row in due
        }
        late = late_part(missing, self._late, next_due, tx.now)
        # Soon again, not at the next date: that chain's part is late, it is not left out.
        await set_next_settlement(tx, [(merchant_id, tx.now + _SOON) for merchant_id in late])
        await self._move_dates(tx, [row for row in due if row["id"] not in late])
        plan = await self._plan(tx, due, blind, lock=True, late=self._late)
        if plan.payouts:
            run_id = await create_run(tx, None, "schedule")
            await move_run(tx, run_id, "planned", await self._carry_out(tx, run_id, plan, due))
        return late

    async def _settle_requested(self, tx: Tx, run: Row, blind: Collection[str], most: int) -> int:
        """The next page of a run that was asked for; how many merchants it took, at most ``most``.

        Promises, plan and how far it is are one commit: whoever comes after a crash goes on
        behind the last page.
        """
        wanted = run["merchant_id"]
        if wanted is None:
            rows = await merchants_after(tx, run["position"], most)
        else:
            rows = await get_merchants(tx, [wanted])
        if tx.now - run["created_at"] < _PATIENCE and await self._blind_balances(tx, rows, blind):
            return 0  # looked at again in a second: chains are compared right after a start
        plan = await self._plan(tx, rows, blind, lock=True)
        shown = await self._carry_out(tx, run["id"], plan, rows)
        last = rows[-1]["id"] if rows else None
        await add_page(tx, run, shown, last, over=wanted is not None or len(rows) < most)
        return max(len(rows), 1)  # an empty page is work too: the run after it must not wait

    async def _blind_balances(
        self, tx: Tx, rows: Sequence[Row], blind: Collection[str]
    ) -> list[MerchantBalance]:
        """Money that may have been paid out already, for all that these books know."""
        if not blind:
            return []
        balances = await merchant_balances(tx, [row["id"] for row in rows])
        return [b for b in balances if b.chain in blind and b.available > 0]

    async def _carry_out(
        self, tx: Tx, run_id: str, plan: Plan, rows: Sequence[Row]
    ) -> dict[str, Any]:
        """Make the promises; the plan as people see it."""
        terms = {row["id"]: self._terms(row) for row in rows}
        new = [
            NewPayout(
                p.merchant_id,
                p.chain,
                p.token,
                p.amount,
                p.address,
                run_id,
                reason=p.reason,
                waits=p.waits,
                confirmed_by=tx.now - delay if (delay := terms[p.merchant_id].delay) else None,
            )
            for p in plan.payouts
        ]
        return view_plan(plan, tx.catalogue, await create_payouts(tx, new))

    async def _plan(
        self,
        tx: Tx,
        rows: Sequence[Row],
        blind: Collection[str],
        *,
        lock: bool,
        late: Mapping[str, Late] = MappingProxyType({}),
    ) -> Plan:
        ids = [row["id"] for row in rows]
        balances = due_part(await merchant_balances(tx, ids, lock=lock), late, tx.now)
        destinations = await destinations_of(tx, ids)
        candidates = {d.address for d in destinations}
        limits = limits_of(self._settings.settlement, tx.catalogue)
        rules = Rules(
            now=tx.now,
            minimums=self._minimums(tx, balances, {row["id"]: row for row in rows}),
            refused=self._refused
            | {token.address for token in tx.catalogue}
            | await own_addresses(tx, candidates),
            stopped=dict.fromkeys(blind, NOT_COMPARED)
            | await _halted(tx, {b.chain for b in balances}),
            withheld=await self._withheld(tx, rows),
            approve_above=base_units(tx.catalogue, self._settings.security.approve_payouts_above),
            limits=limits,
            promised=await promised_today(tx) if limits.count_days else Promised(),
        )
        return make_plan(balances, destinations, rules)

    def _minimums(
        self, tx: Tx, balances: Sequence[MerchantBalance], rows: dict[str, Row]
    ) -> dict[tuple[str, str, str], int]:
        """Base units; a token that is not configured any more has none and is held back."""
        found: dict[tuple[str, str, str], int] = {}
        decimals = {(t.chain, t.symbol): t.decimals for t in tx.catalogue}
        default = self._settings.settlement.minimum_payout
        for b in balances:
            places = decimals.get((ChainName(b.chain), TokenSymbol(b.token)))
            if places is not None:
                text = rows[b.merchant_id]["minimum_payout"] or default
                found[b.merchant_id, b.chain, b.token] = least_amount(text, places)
        return found

    def _terms(self, row: Row) -> Terms:
        default = self._settings.settlement
        delay, reserve_for = row["payout_delay"], row["reserve_for"]
        bps = row["reserve_bps"]
        return Terms(
            default.delay if delay is None else timedelta(seconds=delay),
            default.reserve_bps if bps is None else bps,
            default.reserve_for if reserve_for is None else timedelta(seconds=reserve_for),
        )

    async def _withheld(self, tx: Tx, rows: Sequence[Row]) -> dict[tuple[str, str, str], Withheld]:
        terms = {row["id"]: self._terms(row) for row in rows}
        since = {m: tx.now - t.window for m, t in terms.items() if t.window}
        return {
            place: withheld(terms[place[0]], [Income(*item) for item in income], tx.now)
            for place, income in (await income_since(tx, since)).items()
        }


async def _halted(tx: Tx, chains: Collection[str]) -> dict[str, str]:
    found = {}
    for chain in chains:
        cursor = await get_cursor(tx, chain)
        if cursor is not None and cursor.halted_reason is not None:
            found[chain] = HALTED
    return found
