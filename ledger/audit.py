"""What the books say must lie at our addresses, for the comparison with the chain."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address
from ledger.batches import IS_OPEN
from ledger.bulk import execute
from ledger.ignored import gone
from ledger.late_tokens import Waiting, late_payments
from ledger.postings import AccountKind
from ledger.schema import accounts, batches, ignored_logs, payments, sweep_items
from ledger.schema.chain import PAYMENT_OPEN
from ledger.store import Tx

_PHYSICAL: Final = sa.select(
    accounts.c.kind,
    accounts.c.token,
    accounts.c.debits_posted,
    accounts.c.credits_posted,
    accounts.c.debits_pending,
).where(
    accounts.c.kind.in_(
        [
            sa.literal_column(f"'{kind.value}'")
            for kind in (AccountKind.DEPOSITS, AccountKind.TREASURY)
        ]
    ),
    accounts.c.chain == sa.bindparam("of_chain"),
)


async def physical_totals(tx: Tx, chain: str) -> dict[tuple[str, str], int]:
    """Base units by (``deposits`` or ``treasury``, token) as of the cursor's block.

    A payment that is seen but not confirmed lies at its address: pending debits of
    *deposits* count. Everything else that is pending has not moved as far as the books know.
    """
    found: dict[tuple[str, str], int] = defaultdict(int)
    for row in await execute(tx, _PHYSICAL, of_chain=chain):
        lies = row["debits_posted"] - row["credits_posted"]
        if row["kind"] == AccountKind.DEPOSITS:
            lies += row["debits_pending"]
        found[row["kind"], row["token"]] += lies
    return dict(found)


async def deposit_holders(
    tx: Tx, chain: str, emptied: int | None = None
) -> dict[str, list[Address]]:
    """Deposit addresses at which something of a token lies as far as the books know, by token.

    In question are payments that no sweep has taken, those of sweeps that are under way, dust,
    and what waits to be booked because its token was registered afterwards. Addresses that
    were swept are empty; the balance audit goes round all of them.

    :param emptied: of the newest payments, so many whose addresses are in whatever became of
        them; ``None``: every address that ever had one.
    """
    pairs = sa.select(payments.c.token, payments.c.recipient).where(
        payments.c.chain == chain, payments.c.status != "ignored"
    )
    queries: list[sa.Select[Any]] = [pairs.distinct()]
    if emptied is not None:
        newest = (
            sa.select(payments.c.chain, payments.c.token, payments.c.recipient, payments.c.status)
            .order_by(payments.c.id.desc())
            .limit(emptied)
            .subquery()
        )
        queries = [
            sa.select(newest.c.token, newest.c.recipient).where(
                newest.c.chain == chain, newest.c.status != "ignored"
            ),
            pairs.where(PAYMENT_OPEN),
            # Spelled as in the index, which holds nothing else.
            pairs.where(sa.text("payments.status = 'confirmed' AND sweep_item_id IS NULL")),
            sa.select(sweep_items.c.token, sweep_items.c.address)
            .join(batches, batches.c.id == sweep_items.c.batch_id)
            .where(batches.c.chain == chain, IS_OPEN),
        ]
    found: dict[str, set[Address]] = defaultdict(set)
    for query in queries:
        for symbol, address in await tx.conn.execute(query):
            found[symbol].add(Address(address))
    for token, address in await _dusty(tx, chain):
        found[token].add(address)
    for waiting in await late_payments(tx, chain):
        found[_symbol(tx, chain, waiting)].add(waiting.recipient)
    return {symbol: sorted(addresses) for symbol, addresses in found.items()}


async def _dusty(tx: Tx, chain: str) -> list[tuple[str, Address]]:
    query = sa.select(ignored_logs.c.token_address, ignored_logs.c.recipient).where(
        ignored_logs.c.chain == chain, ignored_logs.c.reason == "dust"
    )
    rows = await tx.conn.execute(query)
    named = [(tx.catalogue.token_by_address(chain, row[0]), Address(row[1])) for row in rows]
    return [(token.symbol, address) for token, address in named if token is not None]


async def ignored_amounts(tx: Tx, chain: str) -> dict[str, int]:
    """Base units of registered tokens that lie at addresses without being booked.

    Dust, and what was ignored before its token was registered and is not booked yet.
    """
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
    for waiting in await late_payments(tx, chain):
        sums[_symbol(tx, chain, waiting)] += waiting.amount
    return dict(sums)


def _symbol(tx: Tx, chain: str, waiting: Waiting) -> str:
    token = tx.catalogue.token_by_address(chain, waiting.token_address)
    assert token is not None, "only what is registered waits"
    return token.symbol
