"""``bursar reconcile``: ledger against chain, to the unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from bursar.addresses import own_addresses
from bursar.chain_checks import check_chain_id
from bursar.compose import House, open_house
from bursar.output import say, say_json, sign, table
from config.catalogue import Token
from config.chains import ChainSettings
from config.money import format_amount
from config.settings import Secrets, Settings
from ledger.migrate import require_current
from settlement.clone_plan import CLONE_GAS
from settlement.fallback import TOP_UP_GAS
from settlement.native import native_row
from settlement.outlook import sum_deposits
from settlement.reconcile import AccountRow, Reconciliation
from settlement.reconcile import reconcile as compare
from settlement.sweep_plan import DELEGATION_GAS
from settlement.sweep_policy import Waits

WHY: Final = {
    Waits.HELD: "on hold, see bursar holds list",
    Waits.SMALL: "less than settlement.sweep_minimum",
    Waits.COSTLY: "gas costs more than settlement.sweep_max_cost_bps of it",
    Waits.GAS: "gas costs more than sweep_max_gwei of the chain",
    Waits.SOON: "swept soon",
}


@dataclass(frozen=True, slots=True)
class Unswept:
    """Credited money that lies at deposit addresses, and why. Base units."""

    token: Token
    reason: Waits
    deposits: int
    units: int


async def reconcile(
    settings: Settings, secrets: Secrets, *, chain: str | None, as_json: bool
) -> bool:
    """Print every account of every token; whether all agree.

    A chain that was never followed has no books to compare, and is said to be so.
    """
    own = own_addresses(settings, secrets)
    results: dict[str, Reconciliation | None] = {}
    unswept: dict[str, list[Unswept]] = {}
    async with open_house(settings, secrets, chains=None if chain is None else [chain]) as house:
        await require_current(house.ledger.engine)
        for configured in house.chain_settings():
            client = house.chains[configured.name].heeding(own.contracts.check_log)
            await check_chain_id(configured, client)
            found = await compare(client, house.ledger, own.contracts)
            if found is not None:
                coin = configured.native_symbol
                sponsors = [address for _, address in own.sponsors()]
                row = await native_row(client, house.ledger, coin, sponsors)
                found = replace(found, native=row)
            results[configured.name] = found
            unswept[configured.name] = await _unswept(house, configured)
    agrees = all(found is None or found.agrees for found in results.values())
    if as_json:
        chains = [_document(name, found, unswept[name]) for name, found in results.items()]
        say_json({"agrees": agrees, "chains": chains})
        return agrees
    for name, found in results.items():
        _tell(name, found, unswept[name])
    return agrees


async def _unswept(house: House, chain: ChainSettings) -> list[Unswept]:
    gas = TOP_UP_GAS if chain.supports_7702 is False else DELEGATION_GAS
    if house.settings.wallets.deposits == "create2":
        gas = CLONE_GAS
    found = []
    for token in house.catalogue.payable_tokens(chain.name):
        sums = await sum_deposits(
            house.chains[chain.name], house.ledger, house.settings.settlement, token, gas
        )
        found += [
            Unswept(token, reason, count, units) for reason, (count, units) in sums.items() if count
        ]
    return found


def _document(name: str, found: Reconciliation | None, unswept: list[Unswept]) -> dict[str, Any]:
    if found is None:
        return {
            "chain": name,
            "block": None,
            "agrees": True,
            "accounts": [],
            "causes": [],
            "unswept": [],
        }
    return {
        "chain": name,
        "block": found.block,
        "agrees": found.agrees,
        "accounts": [_account(row) for row in found.all_rows],
        "causes": list(found.causes),
        "unswept": [
            {
                "token": one.token.symbol,
                "reason": one.reason.value,
                "deposits": one.deposits,
                "amount": format_amount(one.units, one.token.decimals),
            }
            for one in unswept
        ],
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


def _tell(name: str, found: Reconciliation | None, unswept: list[Unswept]) -> None:
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
    for one in unswept:
        amount = format_amount(one.units, one.token.decimals)
        say(f"  {amount} {one.token.symbol} at {one.deposits} deposit addresses: {WHY[one.reason]}")
    for cause in found.causes:
        say(f"  {cause}")
