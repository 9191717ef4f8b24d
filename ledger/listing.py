"""Pages of a merchant's objects: newest first, stable while new ones are added.

Pages go by key (``id < cursor``), never by offset: ids are time-ordered, so
what is inserted meanwhile lands on the first page and moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from config.catalogue import Token
from config.money import format_amount, least_amount
from config.units import ChainName, TokenSymbol
from ledger.books import all_totals
from ledger.invoices import cursor_blocks, load_views
from ledger.postings import AccountKind, AccountRef, Totals, available, balance
from ledger.schema import (
    accounts,
    api_keys,
    events,
    holds,
    invoices,
    merchants,
    payments,
    payout_destinations,
    payouts,
    transfers,
)
from ledger.sql import as_row
from ledger.store import Tx
from ledger.sweeps import unswept_of
from ledger.views import (
    Row,
    view_api_key,
    view_destination,
    view_entry,
    view_event,
    view_hold,
    view_payment,
    view_payout,
)

Page = tuple[list[dict[str, Any]], str | None]
"""Objects, and the cursor of the next page where there is one."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a list is asked for; ``None`` leaves a filter out.

    :param cursor: id of the last object already seen.
    """

    limit: int = 20
    cursor: str | None = None
    status: str | None = None
    reference: str | None = None
    created_after: datetime | None = None


async def page_of_rows(
    tx: Tx, query: sa.Select[Any], key: sa.Column[Any], asked: PageQuery
) -> tuple[list[Row], str | None]:
    """A page of rows in descending order of ``key``, and the cursor of the next one."""
    if asked.cursor is not None:
        query = query.where(key < asked.cursor)
    query = query.order_by(key.desc()).limit(asked.limit + 1)
    rows = [as_row(row) for row in await tx.conn.execute(query)]
    page = rows[: asked.limit]
    return page, str(page[-1]["id"]) if len(rows) > asked.limit else None


def _filtered(
    query: sa.Select[Any], table: sa.Table, asked: PageQuery, created: str = "created_at"
) -> sa.Select[Any]:
    if asked.status is not None:
        query = query.where(table.c.status == asked.status)
    if asked.created_after is not None:
        query = query.where(table.c[created] > asked.created_after)
    return query


async def list_invoices(tx: Tx, merchant_id: str, asked: PageQuery) -> Page:
    """Invoices, whole, with options and payments."""
    query = sa.select(invoices.c.id).where(invoices.c.merchant_id == merchant_id)
    if asked.reference is not None:
        query = query.where(invoices.c.reference == asked.reference)
    rows, cursor = await page_of_rows(tx, _filtered(query, invoices, asked), invoices.c.id, asked)
    views = await load_views(tx, [row["id"] for row in rows])
    return [views[row["id"]] for row in rows], cursor


async def list_payments(tx: Tx, merchant_id: str, asked: PageQuery) -> Page:
    """Payments; ``reference`` is that of their invoice."""
    query = sa.select(payments).where(payments.c.merchant_id == merchant_id)
    if asked.reference is not None:
        query = query.join(invoices, invoices.c.id == payments.c.invoice_id).where(
            invoices.c.reference == asked.reference
        )
    query = _filtered(query, payments, asked, "detected_at")
    rows, cursor = await page_of_rows(tx, query, payments.c.id, asked)
    blocks = await cursor_blocks(tx)
    return [view_payment(row, tx.catalogue, blocks.get(row["chain"])) for row in rows], cursor


async def list_payouts(tx: Tx, merchant_id: str, asked: PageQuery) -> Page:
    """Payouts; ``reference`` finds those that settle a payment of such an invoice."""
    query = sa.select(payouts).where(payouts.c.merchant_id == merchant_id)
    if asked.reference is not None:
        settled = (
            sa.select(payments.c.payout_id)
            .join(invoices, invoices.c.id == payments.c.invoice_id)
            .where(
                invoices.c.merchant_id == merchant_id,
                invoices.c.reference == asked.reference,
                payments.c.payout_id.is_not(None),
            )
        )
        query = query.where(payouts.c.id.in_(settled))
    return await page_of_payouts(tx, query, asked)


async def page_of_payouts(tx: Tx, query: sa.Select[Any], asked: PageQuery) -> Page:
    """A page of what a query over ``payouts`` selects."""
    rows, cursor = await page_of_rows(tx, _filtered(query, payouts, asked), payouts.c.id, asked)
    return [view_payout(row, tx.catalogue) for row in rows], cursor


async def list_events(
    tx: Tx, merchant_id: str, asked: PageQuery, event_type: str | None = None
) -> Page:
    """Events in the order in which they were written, last first; cursor by sequence."""
    query = sa.select(events).where(events.c.merchant_id == merchant_id)
    if event_type is not None:
        query = query.where(events.c.type == event_type)
    if asked.created_after is not None:
        query = query.where(events.c.created_at > asked.created_after)
    if asked.cursor is not None:
        # Ids of one transaction share their millisecond; the sequence alone is the order.
        last = sa.select(events.c.seq).where(
            events.c.id == asked.cursor, events.c.merchant_id == merchant_id
        )
        query = query.where(events.c.seq < last.scalar_subquery())
    query = query.order_by(events.c.seq.desc()).limit(asked.limit + 1)
    rows = [as_row(row) for row in await tx.conn.execute(query)]
    page = rows[: asked.limit]
    return (
        [view_event(row) for row in page],
        str(page[-1]["id"]) if len(rows) > asked.limit else None,
    )


async def list_destinations(tx: Tx, merchant_id: str, asked: PageQuery) -> Page:
    """Payout destinations, revoked ones too; ``status`` is the one that the time gives."""
    table = payout_destinations
    query = sa.select(table).where(table.c.merchant_id == merchant_id)
    past = table.c.active_at <= tx.now
    unrevoked = table.c.status.in_(("cooling_off", "active"))
    if asked.status == "active":
        query = query.where(unrevoked, past)
    elif asked.status == "cooling_off":
        query = query.where(unrevoked, ~past)
    elif asked.status is not None:
        query = query.where(table.c.status == asked.status)
    if asked.created_after is not None:
        query = query.where(table.c.created_at > asked.created_after)
    rows, cursor = await page_of_rows(tx, query, table.c.id, asked)
    return [view_destination(row, tx.now) for row in rows], cursor


async def list_api_keys(tx: Tx, merchant_id: str, asked: PageQuery) -> Page:
    """API keys, revoked ones too."""
    query = sa.select(api_keys).where(api_keys.c.merchant_id == merchant_id)
    if asked.created_after is not None:
        query = query.where(api_keys.c.created_at > asked.created_after)
    rows, cursor = await page_of_rows(tx, query, api_keys.c.id, asked)
    return [view_api_key(row) for row in rows], cursor


async def list_holds(tx: Tx, asked: PageQuery) -> Page:
    """What waits for an operator, of all merchants; ``status`` is ``open`` or ``released``."""
    query = sa.select(holds)
    if asked.status is not None:
        released = holds.c.released_at.is_not(None)
        query = query.where(released if asked.status == "released" else ~released)
    if asked.created_after is not None:
        query = query.where(holds.c.since > asked.created_after)
    rows, cursor = await page_of_rows(tx, query, holds.c.id, asked)
    return [view_hold(row) for row in rows], cursor


async def list_merchants(tx: Tx, asked: PageQuery) -> tuple[list[Row], str | None]:
    """Rows of all merchants."""
    query = sa.select(merchants)
    if asked.created_after is not None:
        query = query.where(merchants.c.created_at > asked.created_after)
    return await page_of_rows(tx, query, merchants.c.id, asked)


async def list_entries(
    tx: Tx, merchant_id: str, asked: PageQuery, after: int | None = None
) -> Page:
    """Transfers that touch one of the merchant's accounts.

    :param after: number of the last entry already seen; ``asked.cursor`` is not used.
    """
    debit, credit = accounts.alias("debit_account"), accounts.alias("credit_account")
    own = list(
        (
            await tx.conn.execute(
                sa.select(accounts.c.id).where(accounts.c.merchant_id == merchant_id)
            )
        ).scalars()
    )
    query = (
        sa.select(
            transfers,
            debit.c.kind.label("debit"),
            credit.c.kind.label("credit"),
            debit.c.chain,
            debit.c.token,
        )
        .join(debit, debit.c.id == transfers.c.debit_account_id)
        .join(credit, credit.c.id == transfers.c.credit_account_id)
        .where(
            sa.or_(transfers.c.debit_account_id.in_(own), transfers.c.credit_account_id.in_(own))
        )
    )
    if asked.created_after is not None:
        query = query.where(transfers.c.created_at > asked.created_after)
    if after is not None:
        query = query.where(transfers.c.id < after)
    query = query.order_by(transfers.c.id.desc()).limit(asked.limit + 1)
    rows = [as_row(row) for row in await tx.conn.execute(query)]
    page = rows[: asked.limit]
    return (
        [view_entry(row, tx.catalogue) for row in page],
        f"le_{page[-1]['id']}" if len(rows) > asked.limit else None,
    )


async def list_balances(tx: Tx, merchant_id: str, sweep_minimum: str = "0") -> list[dict[str, Any]]:
    """A line per payable token, and per token of which there is an account.

    :param sweep_minimum: whole units; what lies at an address and is less is dust.
    """
    totals = await all_totals(tx, merchant_id=merchant_id)
    touched = {(ref.chain, ref.token) for ref in totals}
    lines = []
    for token in tx.catalogue:
        if not token.flagged or (token.chain, token.symbol) in touched:
            left = await unswept_of(tx, merchant_id, token.chain, token.symbol)
            minimum = least_amount(sweep_minimum, token.decimals)
            dust = sum(amount for amount in left.values() if amount < minimum)
            line = _balance(token, merchant_id, totals)
            line["unswept"] = format_amount(sum(left.values()), token.decimals)
            line["unswept_dust"] = format_amount(dust, token.decimals)
            lines.append(line)
    return lines


def _balance(token: Token, merchant_id: str, totals: dict[AccountRef, Totals]) -> dict[str, Any]:
    def of(kind: AccountKind) -> Totals:
        return totals.get(AccountRef(kind, token.chain, token.symbol, merchant_id), Totals())

    merchant, held = of(AccountKind.MERCHANT), of(AccountKind.HELD)
    sums = {
        "pending": merchant.credits_pending,
        "available": available(AccountKind.MERCHANT, merchant),
        "reserved": merchant.debits_pending,
        "held": balance(AccountKind.HELD, held) + held.credits_pending,
        "paid": of(AccountKind.PAYOUTS).debits_posted,
        "receivable": balance(AccountKind.RECEIVABLE, of(AccountKind.RECEIVABLE)),
    }
    return {
        "chain": ChainName(token.chain),
        "token": TokenSymbol(token.symbol),
        "caip19": token.caip19,
        **{name: format_amount(amount, token.decimals) for name, amount in sums.items()},
    }


async def find_payment(tx: Tx, merchant_id: str, payment_id: str) -> dict[str, Any] | None:
    """A payment of this merchant."""
    query = sa.select(payments).where(
        payments.c.id == payment_id, payments.c.merchant_id == merchant_id
    )
    row = (await tx.conn.execute(query)).first()
    if row is None:
        return None
    blocks = await cursor_blocks(tx)
    return view_payment(as_row(row), tx.catalogue, blocks.get(row.chain))


async def find_payout(tx: Tx, merchant_id: str, payout_id: str) -> dict[str, Any] | None:
    """A payout of this merchant."""
    query = sa.select(payouts).where(
        payouts.c.id == payout_id, payouts.c.merchant_id == merchant_id
    )
    row = (await tx.conn.execute(query)).first()
    return None if row is None else view_payout(as_row(row), tx.catalogue)


async def find_event(tx: Tx, merchant_id: str, event_id: str) -> dict[str, Any] | None:
    """An event of this merchant."""
    query = sa.select(events).where(events.c.id == event_id, events.c.merchant_id == merchant_id)
    row = (await tx.conn.execute(query)).first()
    return None if row is None else view_event(as_row(row))


async def find_hold(tx: Tx, hold_id: str) -> dict[str, Any] | None:
    """A hold, released or not."""
    row = (await tx.conn.execute(sa.select(holds).where(holds.c.id == hold_id))).first()
    return None if row is None else view_hold(as_row(row))


async def is_canceled(tx: Tx, invoice_id: str) -> bool:
    """Whether the merchant expects no payment any more: its status tells only if none came."""
    query = sa.select(invoices.c.canceled_at).where(invoices.c.id == invoice_id)
    return await tx.conn.scalar(query) is not None
