"""``bursar books``: an operator's postings, each one transaction with its line in the audit log."""

from __future__ import annotations

from bursar.compose import open_house
from bursar.output import say, say_json
from config.errors import InvalidInputError
from config.money import format_amount, parse_units
from config.settings import Secrets, Settings
from gateway.resources.books import view_suspended
from ledger import receivables
from ledger.migrate import require_current
from ledger.suspense import Resolve, Side, Target, decimals_of, suspended
from ledger.suspense import resolve as post_resolution

ACTOR = "command line"


async def debts(settings: Settings, secrets: Secrets, *, as_json: bool) -> None:
    """Print what merchants owe."""
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.reading() as tx:
            found = await receivables.open_debts(tx)
        decimals = {(t.chain, t.symbol): t.decimals for t in house.catalogue}
        rows = [
            {
                "merchant": d.merchant_id,
                "chain": d.chain,
                "token": d.token,
                "amount": format_amount(
                    d.amount, next((n for k, n in decimals.items() if k == (d.chain, d.token)), 0)
                ),
            }
            for d in found
        ]
    if as_json:
        say_json({"debts": rows})
        return
    for row in rows:
        say(f"{row['merchant']} owes {row['amount']} {row['token']} on {row['chain']}")
    if not rows:
        say("nobody owes anything")


async def write_off(
    settings: Settings,
    secrets: Secrets,
    *,
    merchant: str,
    chain: str,
    token: str,
    amount: str,
    reason: str,
) -> None:
    """Turn a debt, or a part of it, into a loss.

    :raises InvalidInputError: not an amount, or more than is owed.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        units = _units(amount, house.catalogue.token(chain, token).decimals)
        async with house.ledger.transaction() as tx:
            debt = receivables.Debt(merchant, chain, token, units)
            await receivables.write_off(tx, debt, actor=ACTOR, reason=reason)
    say(f"{amount} {token} of {merchant} written off")


async def suspense(settings: Settings, secrets: Secrets, *, as_json: bool) -> None:
    """Print what nothing explains yet, and losses, with the newest postings of each."""
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.reading() as tx:
            rows = [view_suspended(row) for row in await suspended(tx)]
    if as_json:
        say_json({"suspense": rows})
        return
    for row in rows:
        say(f"{row['side']} {row['chain']}: {row['amount']} {row['token']}")
        for entry in row["entries"]:
            where = f" in {entry['tx_hash']}" if entry["tx_hash"] else ""
            say(f"  {entry['at']} {entry['amount']} {entry['reason']}{where}")
    if not rows:
        say("nothing is in suspense, nothing was lost")


async def resolve(
    settings: Settings,
    secrets: Secrets,
    *,
    side: Side,
    chain: str,
    token: str,
    to: Target,
    amount: str | None,
    merchant: str | None,
    reason: str,
) -> None:
    """Say what stands in suspense, or who bears a loss.

    :raises InvalidInputError: not an amount, no such way, or more than is there.
    :raises NotFoundError: no such chain, token or merchant.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        places = decimals_of(house.catalogue, chain, token)
        units = None if amount is None else _units(amount, places)
        asked = Resolve(side, chain, token, to, units, ACTOR, reason, merchant)
        async with house.ledger.transaction() as tx:
            done = await post_resolution(tx, asked)
    moved, left = format_amount(done.amount, places), format_amount(done.left, places)
    say(f"{moved} {token} on {chain} resolved to {to}; {left} left in {side}")


def _units(text: str, decimals: int) -> int:
    try:
        return parse_units(text, decimals)
    except ValueError as error:
        raise InvalidInputError(str(error), where="--amount") from None
