"""Under which contracts the books hold money of each symbol, and what a configuration makes of it.

Books are kept by chain and symbol, balances on the chain by contract. The same symbol for another
contract would pay in the new one what came in the old; another symbol for the same contract
would leave what is booked with nobody to pay it out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa

from config.catalogue import Catalogue
from config.errors import ConfigError
from config.units import Address, checksum
from ledger.books import house_totals
from ledger.postings import AccountKind
from ledger.schema import PAYMENT_OPEN, payments, sweep_items
from ledger.store import Tx

_WHERE_IT_LIES: Final = (AccountKind.DEPOSITS, AccountKind.TREASURY)
_LOOKED_AT: Final = 1_000
"""Payments of a symbol: they are of one contract, or were mixed up long ago."""


async def booked_contracts(tx: Tx, chain: str) -> dict[str, set[Address]]:
    """By symbol the contracts of what lies at addresses or in the treasury; none where it is 0.

    Of what was swept only the newest tells: what is paid out next is of its kind.
    """
    symbols: set[str] = set()
    for ref, totals in (await house_totals(tx, chain=chain)).items():
        lies = totals.debits_posted + totals.debits_pending - totals.credits_posted
        if ref.kind in _WHERE_IT_LIES and lies > 0:
            symbols.add(ref.token)
    return {symbol: await _contracts(tx, chain, symbol) for symbol in sorted(symbols)}


async def _contracts(tx: Tx, chain: str, symbol: str) -> set[Address]:
    of_symbol = sa.select(payments.c.token_address).where(
        payments.c.chain == chain, payments.c.token == symbol
    )
    # Spelled as in the indexes, which hold nothing else.
    unswept = sa.text("payments.status = 'confirmed' AND payments.sweep_item_id IS NULL")
    newest = (
        sa.select(payments.c.token_address)
        .join(sweep_items, sweep_items.c.id == payments.c.sweep_item_id)
        .where(sweep_items.c.chain == chain, sweep_items.c.token == symbol)
        .order_by(sweep_items.c.id.desc())
        .limit(1)
    )
    queries = (
        of_symbol.where(unswept).limit(_LOOKED_AT),
        of_symbol.where(PAYMENT_OPEN).limit(_LOOKED_AT),
        newest,
    )
    return {
        Address(found) for query in queries for found in (await tx.conn.execute(query)).scalars()
    }


def check_contracts(
    catalogue: Catalogue, chain: str, booked: Mapping[str, Collection[Address]]
) -> None:
    """Refuse a configuration under which the books would say something else. Pure.

    :param booked: from :func:`booked_contracts`.
    :raises ConfigError: a symbol means another contract now, or a contract has another symbol.
    """
    for symbol, contracts in booked.items():
        configured = catalogue.find_token(chain, symbol)
        if configured is not None and contracts and configured.address not in contracts:
            held = ", ".join(sorted(checksum(contract) for contract in contracts))
            raise ConfigError(
                f"the books hold {symbol} as {held}, not as {checksum(configured.address)}",
                where=f"chain {chain}: token {symbol}",
                remedy="give the other contract a symbol of its own, and keep this one as it was",
            )
        for contract in contracts:
            other = catalogue.token_by_address(chain, contract)
            if other is not None and other.symbol != symbol:
                raise ConfigError(
                    f"the books hold {checksum(contract)} as {symbol}",
                    where=f"chain {chain}: token {other.symbol}",
                    remedy=f"call it {symbol} again: all that is booked is kept by that name",
                )
