"""What the books hold of chains and tokens that the configuration does not name (any more).

Nobody follows such a chain, and nobody sweeps or pays such a token: what is open stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from config.catalogue import Catalogue
from ledger.books import house_totals
from ledger.postings import AccountKind
from ledger.schema import PAYMENT_OPEN, chain_cursors, payments, payouts
from ledger.states import PayoutStatus
from ledger.store import Tx

_OVER: Final = (PayoutStatus.PAID, PayoutStatus.CANCELED, PayoutStatus.FAILED)
_WHERE_IT_LIES: Final = (AccountKind.DEPOSITS, AccountKind.TREASURY)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A chain without a configuration, or tokens of one that has none of them.

    :param payments: not confirmed yet; :param payouts: neither paid nor given up. Both of a
        chain that is not configured.
    :param tokens: symbols of what lies at deposit addresses or in the treasury.
    """

    chain: str
    configured: bool
    tokens: tuple[str, ...]
    payments: int = 0
    payouts: int = 0

    @property
    def text(self) -> str:
        """For people."""
        tokens = ", ".join(self.tokens)
        if self.configured:
            return f"{tokens} lies there and is not configured"
        held = f"; {tokens} lies there" if tokens else ""
        return f"is not configured: {self.payments} payments and {self.payouts} payouts wait{held}"


async def left_out(tx: Tx) -> list[LeftOut]:
    """By chain, where something is open or lies somewhere."""
    symbols: dict[str, set[str]] = defaultdict(set)
    for ref, totals in (await house_totals(tx)).items():
        if ref.kind in _WHERE_IT_LIES and totals.debits_posted > totals.credits_posted:
            symbols[ref.chain].add(ref.token)
    followed = (await tx.conn.execute(sa.select(chain_cursors.c.chain))).scalars()
    configured = {chain.name for chain in tx.catalogue.chains}
    found = [
        LeftOut(name, configured=True, tokens=_unknown(tx.catalogue, name, symbols[name]))
        if name in configured
        else await _chain(tx, name, symbols[name])
        for name in sorted({*symbols, *followed})
    ]
    return [one for one in found if one.tokens or one.payments or one.payouts]


def _unknown(catalogue: Catalogue, chain: str, symbols: set[str]) -> tuple[str, ...]:
    known = {token.symbol for token in catalogue.tokens(chain)}
    return tuple(sorted(symbols - known - {catalogue.chain(chain).native_symbol}))


async def _chain(tx: Tx, chain: str, symbols: set[str]) -> LeftOut:
    open_payments = sa.select(sa.func.count()).where(payments.c.chain == chain, PAYMENT_OPEN)
    open_payouts = sa.select(sa.func.count()).where(
        payouts.c.chain == chain, payouts.c.status.not_in([status.value for status in _OVER])
    )
    return LeftOut(
        chain,
        configured=False,
        tokens=tuple(sorted(symbols)),
        payments=await tx.conn.scalar(open_payments) or 0,
        payouts=await tx.conn.scalar(open_payouts) or 0,
    )
