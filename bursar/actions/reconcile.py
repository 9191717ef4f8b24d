"""``bursar reconcile``: ledger against chain, to the unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bursar.addresses import own_addresses
from bursar.chain_checks import check_chain_id
from bursar.compose import open_house
from bursar.output import say, say_json, sign, table
from config.money import format_amount
from config.settings import Secrets, Settings
from ledger.migrate import require_current
from settlement.native import native_row
from settlement.reconcile import AccountRow, Reconciliation
from settlement.reconcile import reconcile as compare


async def reconcile(
    settings: Settings, secrets: Secrets, *, chain: str | None, as_json: bool
) -> bool:
    """Print every account of every token; whether all agree.

    A chain that was never followed has no books to compare, and is said to be so.
    """
    own = own_addresses(settings, secrets)
    results: dict[str, Reconciliation | None] = {}
    async with open_house(settings, secrets, chains=None if chain is None else [chain]) as house:
        await require_current(house.ledger.engine)
        for configured in house.chain_settings():
            client = house.chains[configured.name]
            await check_chain_id(configured, client)
            found = await compare(client, house.ledger, own.contracts)
            if found is not None:
                coin = configured.native_symbol
                sponsors = [address for _, address in own.sponsors()]
                row = await native_row(client, house.ledger, coin, sponsors)
                found = replace(found, native=row)
            results[configured.name] = found
    agrees = all(found is None or found.agrees for found in results.values())
    if as_json:
        chains = [_document(name, found) for name, found in results.items()]
        say_json({"agrees": agrees, "chains": chains})
        return agrees
    for name, found in results.items():
        _tell(name, found)
    return agrees


def _document(name: str, found: Reconciliation | None) -> dict[str, Any]:
    if found is None:
        return {"chain": name, "block": None, "agrees": True, "accounts": [], "causes": []}
    return {
        "chain": name,
        "block": found.block,
        "agrees": found.agrees,
        "accounts": [_account(row) for row in found.all_rows],
        "causes": list(found.causes),
    }


def _account(row: AccountRow) -> dict[str, Any]:
    places = row.decimals
    return {
        "account": row.account,
        "token": row.token,
        "ledger": format_amount(row.ledger, places),
        "in_flight": format_amount(row.in_flight, places),
        "explained": {why: format_amount(units, places) for why, units in row.explained.items()},
        "chain": format_amount(row.chain, places),
        "difference": format_amount(row.difference, places),
    }


def _tell(name: str, found: Reconciliation | None) -> None:
    if found is None:
        say(f"{sign(True)} {name}: not followed yet, no books to compare")
        return
    say(f"{sign(found.agrees)} {name} at block {found.block}")
    rows = []
    for row in found.all_rows:
        shown = _account(row)
        explained = format_amount(sum(row.explained.values()), row.decimals)
        rows.append(
            (
                sign(row.difference == 0),
                row.token,
                row.account,
                shown["ledger"],
                shown["in_flight"],
                explained,
                shown["chain"],
                shown["difference"],
            )
        )
    header = ("", "token", "account", "ledger", "in flight", "explained", "chain", "difference")
    for line in table(header, rows):
        say(f"  {line}")
    for cause in found.causes:
        say(f"  {cause}")
