"""``bursar books``: an operator's postings, each one transaction with its line in the audit log."""

from __future__ import annotations

from bursar.compose import open_house
from bursar.output import say, say_json
from config.errors import InvalidInputError
from config.money import format_amount, parse_amount
from config.settings import Secrets, Settings
from ledger import receivables
from ledger.migrate import require_current

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


async def resolve_outflow(
    settings: Settings,
    secrets: Secrets,
    *,
    chain: str,
    token: str,
    amount: str,
    blame: receivables.Blame,
    merchant: str | None,
    reason: str,
) -> None:
    """Take an outflow out of suspense.

    :raises InvalidInputError: not an amount, or more than is in suspense.
    :raises NotFoundError: no such merchant.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        units = _units(amount, house.catalogue.token(chain, token).decimals)
        async with house.ledger.transaction() as tx:
            await receivables.resolve_outflow(
                tx,
                chain,
                token,
                units,
                blame=blame,
                merchant_id=merchant,
                actor=ACTOR,
                reason=reason,
            )
    say(f"{amount} {token} on {chain} taken out of suspense: {blame}")


def _units(text: str, decimals: int) -> int:
    try:
        return parse_amount(text, decimals)
    except ValueError as error:
        raise InvalidInputError(str(error), where="--amount") from None
