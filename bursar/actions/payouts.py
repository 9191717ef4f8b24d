"""``bursar payouts run``: by the daemon where one settles, else here."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import sqlalchemy as sa

from bursar.compose import House, open_house
from bursar.costing import Quotes, cost_of
from bursar.metrics.families import Families
from bursar.metrics.process import TaskMetrics
from bursar.output import remark, say, say_json, table
from bursar.roles import Roles, payout_runs
from bursar.startup import ChainGate, first_look
from bursar.supervision import Supervisor
from config.money import format_amount
from config.settings import Secrets, Settings
from ledger.migrate import require_current
from ledger.runs import get_run, plans_of, run_payouts
from ledger.schema import leases
from ledger.views import view_payout
from settlement.plan_view import NATIVE_DECIMALS, view_costs, view_plan
from settlement.runs import request_run
from settlement.service import lease_name

POLL_SECONDS: Final = 0.25


async def run(
    settings: Settings,
    secrets: Secrets,
    *,
    merchant: str | None,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> bool:
    """Settle now, or show what that would do; ``False`` if a payout of the run was not paid.

    :raises NotFoundError: no such merchant.
    """
    async with open_house(settings, secrets) as house:
        await require_current(house.ledger.engine)
        if dry_run:
            await _preview(house, merchant, as_json=as_json)
            return True
        daemon = await _daemon_settles(house)
        # Before the request is on record: what cannot be carried out must not be left behind.
        supervisor = None if daemon else await _supervisor(house)
        async with house.ledger.transaction() as tx:
            run_id = await request_run(tx, merchant, "command")
        if daemon and not wait:
            if as_json:
                say_json({"id": run_id, "status": "requested", "payouts": []})
            else:
                say(f"{run_id} accepted by the running daemon")
            return True
        if supervisor is None:
            await _until_done(house, run_id)
        else:
            remark("no daemon settles: carrying it out here")
            await _carry_out(house, supervisor, run_id)
        return await _tell(house, run_id, as_json=as_json)


async def _daemon_settles(house: House) -> bool:
    """Whether a living process holds the settlement of a chain of ours."""
    names = [lease_name(chain.name) for chain in house.settings.chains]
    async with house.ledger.reading() as tx:
        query = sa.select(leases.c.name).where(
            leases.c.name.in_(names), leases.c.expires_at > tx.now
        )
        return (await tx.conn.execute(query)).first() is not None


async def _until_done(house: House, run_id: str) -> None:
    while True:
        async with house.ledger.reading() as tx:
            row = await get_run(tx, run_id)
        if row is None or row["status"] == "done":
            return
        await house.clock.sleep(POLL_SECONDS)


async def _supervisor(house: House) -> Supervisor:
    """The daemon's own tasks without a door.

    Watchers too: a payout is final when its block is, and nobody else may be following.
    Each takes its lease; a daemon that starts meanwhile waits for it, or does the work.
    """
    families = Families()
    roles = await Roles.prepare(house, "settle_once", families)
    gates = {c.name: ChainGate(house, c) for c in house.chain_settings()}
    await first_look(list(gates.values()))
    supervisor = Supervisor(
        clock=house.clock, entropy=house.entropy, observer=TaskMetrics(families)
    )
    for task in roles.tasks():
        work = task.work if task.chain is None else gates[task.chain].guarding(task.work)
        supervisor.add(task.name, work)
    return supervisor


async def _carry_out(house: House, supervisor: Supervisor, run_id: str) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    try:
        await _until_done(house, run_id)
    finally:
        stop.set()
        await running


async def _tell(house: House, run_id: str, *, as_json: bool) -> bool:
    async with house.ledger.reading() as tx:
        row = await get_run(tx, run_id)
        rows = [view_payout(payout, tx.catalogue) for payout in await run_payouts(tx, run_id)]
        plan = (await plans_of(tx, [] if row is None else [row])).get(run_id) or {}
    good = all(payout["status"] == "paid" for payout in rows)
    if as_json:
        held = plan.get("held_back", [])
        say_json({"id": run_id, "status": "done", "payouts": rows, "held_back": held})
        return good
    for payout in rows:
        reason = f" ({payout['reason']})" if payout["reason"] else ""
        place = f"{payout['chain']} to {payout['address']}"
        money = f"{payout['amount']} {payout['token']}"
        say(f"{payout['id']} {payout['status']}{reason}: {money} on {place}")
    if not rows:
        say("nothing to pay")
    _tell_held(plan)
    return good


async def _preview(house: House, merchant: str | None, *, as_json: bool) -> None:
    plan = await payout_runs(house).preview(merchant)
    quotes = Quotes(house.chains, house.clock)
    costs = await cost_of(plan, quotes, house.settings.settlement.max_batch)
    shown = view_plan(plan, house.catalogue)
    if as_json:
        say_json({**shown, "gas": view_costs(costs)})
        return
    if not shown["payouts"]:
        say("nothing to pay")
    else:
        cells = [
            (
                p["merchant"],
                p["chain"],
                p["amount"],
                p["token"],
                p["address"],
                p["on_hold"] or p["waits_for"] or "",
            )
            for p in shown["payouts"]
        ]
        header = ("merchant", "chain", "amount", "token", "address", "on hold")
        for line in table(header, cells):
            say(line)
    for c in costs:
        symbol = house.catalogue.chain(c.chain).native_symbol
        about = format_amount(c.wei, NATIVE_DECIMALS)
        say(f"{c.chain}: {c.payouts} in {c.batches} batches, about {c.gas} gas, {about} {symbol}")
    _tell_held(shown)


def _tell_held(plan: dict[str, Any]) -> None:
    for held in plan.get("held_back", []):
        money = f"{held['amount']} {held['token']} on {held['chain']}"
        say(f"held back: {held['merchant']} {money}: {held['reason']}")
