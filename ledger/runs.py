"""Payout runs and what a plan is made from: who is due, balances, destinations, limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address
from ledger.bulk import select_in, update_rows
from ledger.postings import AccountKind, Totals, available
from ledger.schema import (
    accounts,
    deposit_addresses,
    merchants,
    payout_run_pages,
    payout_runs,
    payouts,
)
from ledger.schema import payout_destinations as destinations
from ledger.sql import as_row, chunked
from ledger.store import Tx
from ledger.views import Row


@dataclass(frozen=True, slots=True)
class MerchantBalance:
    """What may be paid out and what is owed to us, base units."""

    merchant_id: str
    chain: str
    token: str
    available: int
    owed: int


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a merchant wants a chain's payouts; ``token`` is ``None`` for all."""

    id: str
    merchant_id: str
    chain: str
    token: str | None
    address: Address
    status: str
    active_at: datetime


_CREDIT: Final = AccountKind.MERCHANT.value
_DEBT: Final = AccountKind.RECEIVABLE.value
_BALANCES: Final = (
    sa.select(accounts)
    .where(accounts.c.kind.in_([sa.literal_column(f"'{kind}'") for kind in (_CREDIT, _DEBT)]))
    .order_by(accounts.c.kind, accounts.c.chain, accounts.c.token, accounts.c.merchant_id)
)
_LOCKED_BALANCES: Final = _BALANCES.with_for_update()
_DESTINATIONS: Final = (
    sa.select(*(destinations.c[name] for name in Destination.__dataclass_fields__))
    .where(destinations.c.status != sa.literal_column("'revoked'"))
    .order_by(destinations.c.id.desc())
)
_OURS: Final = sa.select(deposit_addresses.c.address)


async def create_run(tx: Tx, merchant_id: str | None, trigger: str) -> str:
    """Ask for a run of one merchant or of all; returns its id."""
    run_id = tx.new_id("run")
    await tx.conn.execute(
        payout_runs.insert().values(
            id=run_id,
            merchant_id=merchant_id,
            trigger=trigger,
            status="requested",
            created_at=tx.now,
        )
    )
    return run_id


async def requested_runs(tx: Tx, limit: int) -> list[Row]:
    """Runs that are not planned yet, or not to their end, oldest first; locked."""
    query = (
        sa.select(payout_runs)
        .where(payout_runs.c.status == "requested")
        .order_by(payout_runs.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [as_row(row) for row in await tx.conn.execute(query)]


async def get_run(tx: Tx, run_id: str) -> Row | None:
    """A run as stored."""
    query = sa.select(payout_runs).where(payout_runs.c.id == run_id)
    row = (await tx.conn.execute(query)).one_or_none()
    return None if row is None else as_row(row)


async def move_run(tx: Tx, run_id: str, status: str, plan: Any = None) -> None:
    """Record a run's plan, or its end."""
    values: dict[str, Any] = {"status": status}
    if plan is not None:
        values["plan"] = plan
    if status == "done":
        values["finished_at"] = tx.now
    await tx.conn.execute(payout_runs.update().where(payout_runs.c.id == run_id).values(values))


async def add_page(tx: Tx, run: Row, plan: Any, last: str | None, *, over: bool) -> None:
    """Record what was planned of a run that was asked for, in the commit that promises it.

    :param run: as stored, locked.
    :param last: merchants up to this one are planned now; ``None``: there were none.
    :param over: this page is the run's last.
    """
    values: dict[str, Any] = {"position": last or run["position"]}
    if run["plan"] is None:
        values["plan"] = plan
    elif last is not None:
        page = {"run_id": run["id"], "position": last, "plan": plan}
        await tx.conn.execute(payout_run_pages.insert().values(page))
    if over:
        values["status"] = "planned"
    await tx.conn.execute(payout_runs.update().where(payout_runs.c.id == run["id"]).values(values))


async def plans_of(tx: Tx, runs: Sequence[Row]) -> dict[str, dict[str, list[Any]] | None]:
    """What was planned of each run so far, its pages together; ``None``: nothing yet."""
    found = {run["id"]: [run["plan"]] for run in runs if run["plan"] is not None}
    query = sa.select(payout_run_pages).order_by(payout_run_pages.c.position)
    for part in chunked(sorted(found)):
        pages = await tx.conn.execute(query.where(payout_run_pages.c.run_id.in_(part)))
        for page in pages:
            found[page.run_id].append(page.plan)
    return {
        run["id"]: {
            name: [one for plan in found[run["id"]] for one in plan.get(name, [])]
            for name in ("payouts", "held_back")
        }
        if run["id"] in found
        else None
        for run in runs
    }


async def planned_runs_over(tx: Tx) -> list[str]:
    """Planned runs of which no payout is still on its way."""
    waiting = sa.select(payouts.c.run_id).where(
        payouts.c.run_id.is_not(None), payouts.c.status.in_(("queued", "batched", "submitted"))
    )
    query = sa.select(payout_runs.c.id).where(
        payout_runs.c.status == "planned", payout_runs.c.id.not_in(waiting)
    )
    return list((await tx.conn.execute(query)).scalars())


async def run_payouts(tx: Tx, run_id: str) -> list[Row]:
    """Payouts that a run has made."""
    query = sa.select(payouts).where(payouts.c.run_id == run_id).order_by(payouts.c.id)
    return [as_row(row) for row in await tx.conn.execute(query)]


async def merchants_without_date(tx: Tx, limit: int = 1000) -> list[Row]:
    """Merchants whose next settlement has not been set yet."""
    query = sa.select(merchants).where(merchants.c.next_settlement_at.is_(None)).limit(limit)
    return [as_row(row) for row in await tx.conn.execute(query)]


async def due_merchants(tx: Tx, limit: int) -> list[Row]:
    """Merchants whose settlement is due, longest first; locked."""
    query = (
        sa.select(merchants)
        .where(merchants.c.next_settlement_at <= tx.now)
        .order_by(merchants.c.next_settlement_at, merchants.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [as_row(row) for row in await tx.conn.execute(query)]


async def planning_goes_on(tx: Tx) -> bool:
    """Whether somebody is due, or a run is asked for, and its payouts are not made yet."""
    due = sa.select(sa.literal(1)).where(merchants.c.next_settlement_at <= tx.now).limit(1)
    asked = sa.select(sa.literal(1)).where(payout_runs.c.status == "requested").limit(1)
    return any([await tx.conn.scalar(query) is not None for query in (due, asked)])


async def get_merchants(tx: Tx, ids: Collection[str] | None) -> list[Row]:
    """These merchants, or all."""
    query = sa.select(merchants).order_by(merchants.c.id)
    if ids is not None:
        query = query.where(merchants.c.id.in_(sorted(ids)))
    return [as_row(row) for row in await tx.conn.execute(query)]


async def merchants_after(tx: Tx, merchant_id: str | None, limit: int) -> list[Row]:
    """The next merchants by id; ``None``: the first ones."""
    query = sa.select(merchants).order_by(merchants.c.id).limit(limit)
    if merchant_id is not None:
        query = query.where(merchants.c.id > merchant_id)
    return [as_row(row) for row in await tx.conn.execute(query)]


async def set_next_settlement(tx: Tx, moments: Sequence[tuple[str, datetime]]) -> None:
    """When each merchant's settlement is due next."""
    rows = [{"id": merchant_id, "next_settlement_at": due} for merchant_id, due in moments]
    update_rows(tx, merchants, rows, ("next_settlement_at",))


async def own_schedules(tx: Tx) -> list[str]:
    """The schedules that merchants have of their own, each once."""
    own = merchants.c.schedule
    return list(
        (await tx.conn.execute(sa.select(own).where(own.is_not(None)).distinct())).scalars()
    )


async def bring_forward(tx: Tx, schedule: str | None, due: datetime) -> None:
    """Merchants of this schedule are due at ``due`` at the latest.

    :param schedule: of their own; ``None``: those who have none.
    """
    same = merchants.c.schedule.is_not_distinct_from(schedule)
    await tx.conn.execute(
        merchants.update()
        .where(same, merchants.c.next_settlement_at > due)
        .values(next_settlement_at=due)
    )


async def merchant_balances(
    tx: Tx, merchant_ids: Collection[str], *, lock: bool = False
) -> list[MerchantBalance]:
    """Available and owed per merchant, chain and token; accounts with neither are left out.

    :param lock: no payment can become available until the transaction ends, so that
        balances and payments read after this agree.
    """
    sums: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    query = _LOCKED_BALANCES if lock else _BALANCES
    for row in await select_in(tx, query, accounts.c.merchant_id, sorted(merchant_ids)):
        totals = Totals(*(row[name] for name in Totals.__struct_fields__))
        place = (row["merchant_id"], row["chain"], row["token"])
        sums[place][row["kind"]] = available(AccountKind(row["kind"]), totals)
    return [
        MerchantBalance(*place, found.get(_CREDIT, 0), found.get(_DEBT, 0))
        for place, found in sorted(sums.items())
        if any(found.values())
    ]


async def destinations_of(tx: Tx, merchant_ids: Collection[str]) -> list[Destination]:
    """Destinations that are not revoked, newest first."""
    column = destinations.c.merchant_id
    found = await select_in(tx, _DESTINATIONS, column, sorted(merchant_ids))
    return [Destination(**row) for row in found]


async def owners_of_destination(tx: Tx, chain: str, token: str, address: Address) -> set[str]:
    """Merchants who have, or once had, this address as their destination for a token."""
    query = sa.select(destinations.c.merchant_id).where(
        destinations.c.chain == chain,
        destinations.c.address == address,
        sa.or_(destinations.c.token.is_(None), destinations.c.token == token),
    )
    return set((await tx.conn.execute(query)).scalars())


async def own_addresses(tx: Tx, candidates: Collection[Address]) -> set[Address]:
    """Those of the candidates that are our deposit addresses."""
    column = deposit_addresses.c.address
    return {Address(r["address"]) for r in await select_in(tx, _OURS, column, sorted(candidates))}
