"""What the books say must lie at our addresses, for the comparison with the chain."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from config.units import Address
from ledger.books import house_totals
from ledger.ignored import gone
from ledger.postings import AccountKind
from ledger.schema import ignored_logs, payments
from ledger.store import Tx


async def physical_totals(tx: Tx, chain: str) -> dict[tuple[str, str], int]:
    """Base units by (``deposits`` or ``treasury``, token) as of the cursor's block.

    A payment that is seen but not confirmed lies at its address: pending debits of
    *deposits* count. Everything else that is pending has not moved as far as the books know.
    """
    found: dict[tuple[str, str], int] = {}
    for ref, totals in (await house_totals(tx, chain=chain)).items():
        posted = totals.debits_posted - totals.credits_posted
        if ref.kind is AccountKind.DEPOSITS:
            found["deposits", ref.token] = posted + totals.debits_pending
        elif ref.kind is AccountKind.TREASURY:
            found["treasury", ref.token] = posted
    return found


async def deposit_holders(tx: Tx, chain: str) -> dict[str, list[Address]]:
    """Deposit addresses that have ever had a payment in a token, by token."""
    query = (
        sa.select(payments.c.token, payments.c.recipient)
        .where(payments.c.chain == chain, payments.c.token.is_not(None))
        .distinct()
    )
    found: dict[str, list[Address]] = defaultdict(list)
    for row in await tx.conn.execute(query):
        found[row.token].append(Address(row.recipient))
    return dict(found)


async def ignored_amounts(tx: Tx, chain: str) -> dict[str, int]:
    """Base units of registered tokens that lie at addresses without being booked: dust."""
    query = sa.select(ignored_logs.c.token_address, ignored_logs.c.total).where(
        ignored_logs.c.chain == chain, ignored_logs.c.reason == "dust"
    )
    sums: dict[str, int] = defaultdict(int)
    for row in await tx.conn.execute(query):
        token = tx.catalogue.token_by_address(chain, row.token_address)
        if token is not None:
            sums[token.symbol] += row.total
    for (_, token_address), left in (await gone(tx, chain, ["dust"])).items():
        token = tx.catalogue.token_by_address(chain, token_address)
        if token is not None:
            sums[token.symbol] -= left
    return dict(sums)
