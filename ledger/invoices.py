"""Invoices in the store: opening them with an address each, and keeping their status true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct, structs

from config.catalogue import Catalogue, Token
from config.errors import InvalidInputError
from config.units import Address
from ledger.bulk import Insert, Read, execute, read_all, update_rows, write_all
from ledger.invoice_state import (
    InvoiceFacts,
    InvoiceVerdict,
    PaymentFacts,
    evaluate,
    tolerance_micros,
)
from ledger.outbox import NewEvent, emit
from ledger.reuse import Free, assign_again, take_free
from ledger.schema import (
    address_counter,
    chain_cursors,
    deposit_addresses,
    invoice_options,
    invoices,
    payments,
    payouts,
)
from ledger.sources import BoundSource, Source
from ledger.sql import chunked, insert_ignore
from ledger.states import PaymentStatus, check_transition
from ledger.store import Tx
from ledger.views import SHOWN, Row, view_invoice

_STATUS: Final = {status.value: status for status in PaymentStatus}
_INVOICES: Final = sa.select(invoices)
_LOCKED: Final = sa.select(invoices).order_by(invoices.c.id).with_for_update()
CURSORS: Final = sa.select(chain_cursors.c.chain, chain_cursors.c.cursor_block)
_OPTIONS: Final = sa.select(invoice_options)
# Ids of one commit share their time, so that they do not say which of them came first.
_PAYMENTS: Final = sa.select(
    *(payments.c[name] for name in (*SHOWN, "value", "block_time"))
).order_by(payments.c.detected_at, payments.c.block_number, payments.c.log_index)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Shortfall still counted as paid: micros, and basis points of the amount."""

    absolute: int = 0
    bps: int = 0


class InvoiceSpec(Struct, frozen=True):
    """An invoice to open; ``amount`` in micros of ``currency``."""

    amount: int
    currency: str
    options: tuple[Token, ...]
    expires_at: datetime
    monitor_until: datetime
    reference: str | None = None
    metadata: Mapping[str, Any] | None = None
    redirect_url: str | None = None
    chosen: bool = False
    """The options were named by the caller, not filled in: none may be left out silently."""


@dataclass(slots=True)
class Touched:
    """Invoices that a transaction has changed, to be brought up to date at its end."""

    ids: set[str] = field(default_factory=set)

    def add(self, invoice_ids: Collection[str]) -> None:
        """Remember these."""
        self.ids.update(invoice_ids)


async def create_invoices(
    tx: Tx,
    merchant_id: str,
    specs: Sequence[InvoiceSpec],
    derive: Source,
    *,
    reuse: timedelta | None = None,
) -> list[str]:
    """As :func:`open_invoices`; returns the ids alone."""
    opened = await open_invoices(tx, merchant_id, specs, derive, reuse=reuse)
    return [invoice_id for invoice_id, _ in opened]


async def open_invoices(
    tx: Tx,
    merchant_id: str,
    specs: Sequence[InvoiceSpec],
    derive: Source,
    *,
    reuse: timedelta | None = None,
) -> list[tuple[str, Address]]:
    """Open invoices; returns the id and the deposit address of each, in order.

    The counter's row lock is held until commit, so that addresses become
    visible in the order of their indexes: a watcher that has loaded up to *n*
    has missed none below. A rolled-back transaction returns its indexes; a
    committed one never does.

    :param reuse: give addresses again that rest for so long, where the source binds them to no
        chains; ``None``: every one is new.
    :raises WalletError: the source has not so many addresses, or no chain to offer.
    :raises InvalidInputError: an option is on a chain that cannot collect from them.
    """
    if not specs:
        return []
    again: list[Free] = []
    if reuse is not None and not isinstance(derive, BoundSource):
        await _take_indexes(tx, 0)  # the lock, so that nobody else takes the same ones
        again = await take_free(tx, merchant_id, len(specs), reuse)
    fresh = len(specs) - len(again)
    first = await _take_indexes(tx, fresh)
    if isinstance(derive, BoundSource):
        addresses, chain_ids = await derive.take(tx, first, fresh)
        specs = [_sweepable(spec, chain_ids, derive.why_missing) for spec in specs]
    else:
        addresses = [*(one.address for one in again), *(derive(first, fresh) if fresh else ())]
    assert len(addresses) == len(specs)
    watch_from = await _watch_from(tx)
    ids = tx.new_ids("inv", len(specs))
    rows = [
        _invoice_row(tx, merchant_id, i, spec, a)
        for i, spec, a in zip(ids, specs, addresses, strict=True)
    ]
    offered = {i: _option_rows(i, spec) for i, spec in zip(ids, specs, strict=True)}
    ends = [spec.monitor_until for spec in specs]
    given = [
        _address_row(tx, first + n, *one, watch_from, None if reuse is None else merchant_id)
        for n, one in enumerate(list(zip(ids, addresses, ends, strict=True))[len(again) :])
    ]
    options = [option for i in ids for option in offered[i]]
    write_all(
        tx,
        [
            Insert(invoices, rows),
            Insert(deposit_addresses, given),
            Insert(invoice_options, options),
        ],
    )
    taken = list(zip(again, ids, strict=False))
    assign_again(tx, taken, ends[: len(again)])
    views = _views(tx, rows, _Around(offered, {}, {}, {}))
    await emit(tx, [NewEvent(merchant_id, "invoice.created", i, views[i]) for i in ids])
    return list(zip(ids, addresses, strict=True))


def _address_row(
    tx: Tx,
    index: int,
    invoice_id: str,
    deposit: Address,
    until: datetime,
    watch_from: Mapping[str, int],
    reusable_by: str | None,
) -> dict[str, Any]:
    return {
        "derivation_index": index,
        "address": deposit,
        "invoice_id": invoice_id,
        "watch_from": watch_from,
        "created_at": tx.now,
        "merchant_id": reusable_by,
        "free_from": None if reusable_by is None else until,
        "assigned_at": None,
    }


def _sweepable(spec: InvoiceSpec, chain_ids: Collection[int], why_missing: str) -> InvoiceSpec:
    """The options from whose chains a deposit can be collected."""
    options = tuple(token for token in spec.options if token.chain_id in chain_ids)
    missing = [token for token in spec.options if token not in options]
    if missing and (spec.chosen or not options):
        raise InvalidInputError(
            f"{missing[0].chain} is not available: {why_missing}", where="options"
        )
    return structs.replace(spec, options=options)


def _option_rows(invoice_id: str, spec: InvoiceSpec) -> list[Row]:
    return [
        {
            "invoice_id": invoice_id,
            "chain": token.chain,
            "token": token.symbol,
            "amount": token.from_micros(spec.amount),
            "position": position,
        }
        for position, token in enumerate(spec.options)
    ]


def _invoice_row(
    tx: Tx, merchant_id: str, invoice_id: str, spec: InvoiceSpec, deposit: Address
) -> dict[str, Any]:
    return {
        "id": invoice_id,
        "merchant_id": merchant_id,
        "status": "new",
        "exceptions": [],
        "amount": spec.amount,
        "currency": spec.currency,
        "address": deposit,
        "reference": spec.reference,
        "metadata": None if spec.metadata is None else dict(spec.metadata),
        "redirect_url": spec.redirect_url,
        "created_at": tx.now,
        "expires_at": spec.expires_at,
        "monitor_until": spec.monitor_until,
        "updated_at": tx.now,
    }


async def _take_indexes(tx: Tx, count: int) -> int:
    await insert_ignore(tx, address_counter, [{"id": 1, "next_index": 0}])
    after = await tx.conn.scalar(
        address_counter.update()
        .where(address_counter.c.id == 1)
        .values(next_index=address_counter.c.next_index + count)
        .returning(address_counter.c.next_index)
    )
    assert after is not None
    return int(after) - count


async def _watch_from(tx: Tx) -> dict[str, int]:
    query = sa.select(chain_cursors.c.chain, chain_cursors.c.cursor_block)
    # Shared until commit: a scan takes the row for itself before it looks for new addresses, so
    # that it either sees these or has not passed the blocks that they are watched from.
    query = query.order_by(chain_cursors.c.chain).with_for_update(read=True)
    return {row.chain: row.cursor_block + 1 for row in await tx.conn.execute(query)}


async def cancel_invoice(tx: Tx, invoice_id: str, tolerance: Tolerance) -> None:
    """Mark as canceled; what has been or will be paid is credited all the same."""
    await tx.conn.execute(
        invoices.update()
        .where(invoices.c.id == invoice_id, invoices.c.canceled_at.is_(None))
        .values(canceled_at=tx.now)
    )
    await refresh_invoices(tx, [invoice_id], tolerance)


async def refresh_invoices(tx: Tx, ids: Collection[str], tolerance: Tolerance) -> None:
    """Recompute status and exceptions of these invoices; tell of what changed."""
    for part in chunked(sorted(ids)):
        await _refresh(tx, part, tolerance)


async def _refresh(tx: Tx, ids: Sequence[str], tolerance: Tolerance) -> None:
    options = tx.asked.setdefault(invoice_options, {})
    rows, paying, offered, cursors = await read_all(
        tx,
        [
            Read(_LOCKED, invoices.c.id, ids),
            # After the invoices' locks, so that no payment committed until then is left out.
            Read(_PAYMENTS, payments.c.invoice_id, ids),
            Read(_OPTIONS, invoice_options.c.invoice_id, [i for i in ids if i not in options]),
            Read(CURSORS),
        ],
    )
    options.update(by_invoice(offered))
    paid = by_invoice(paying)
    changed: list[tuple[Row, Row, InvoiceVerdict]] = []
    after: list[Row] = []
    for row in rows:
        told = [_fact(p, tx.catalogue) for p in paid[row["id"]]]
        verdict = evaluate(_facts(row, tolerance), told, tx.now)
        exceptions = list(verdict.exceptions)
        status = verdict.status.value
        now = {**row, "status": status, "exceptions": exceptions, "updated_at": tx.now}
        if (status, exceptions) != (row["status"], row["exceptions"]):
            check_transition("invoices", row["status"], verdict.status)
            changed.append((row, now, verdict))
        after.append(now)
    update_rows(tx, invoices, after, ("status", "exceptions", "updated_at"))
    if not changed:
        return
    statuses = await _payout_statuses(tx, [p for row, _, _ in changed for p in paid[row["id"]]])
    around = _Around(options, paid, statuses, blocks_by_chain(cursors))
    views = _views(tx, [now for _, now, _ in changed], around)
    await emit(tx, [e for row, _, v in changed for e in _events(row, v, views[row["id"]])])


def _events(row: Row, verdict: InvoiceVerdict, view: dict[str, Any]) -> list[NewEvent]:
    types = []
    if verdict.status != row["status"] and verdict.status not in ("new", "invalid"):
        types.append(f"invoice.{verdict.status}")
    if set(verdict.exceptions) - set(row["exceptions"]):
        types.append("invoice.exception")
    return [NewEvent(row["merchant_id"], type_, row["id"], view) for type_ in types]


def _facts(row: Row, tolerance: Tolerance) -> InvoiceFacts:
    return InvoiceFacts(
        amount=row["amount"],
        tolerance=tolerance_micros(row["amount"], tolerance.absolute, tolerance.bps),
        expires_at=row["expires_at"],
        canceled=row["canceled_at"] is not None,
        invalid=row["invalid"],
        native_coin=bool(row.get("native_coin")),
    )


def _fact(row: Row, catalogue: Catalogue) -> PaymentFacts:
    token = catalogue.find_token(row["chain"], row["token"])
    return PaymentFacts(
        value=row["value"],
        status=_STATUS[row["status"]],
        held=row["held"],
        reason=row["reason"],
        block_time=row["block_time"],
        rest=0 if token is None else token.below_micros(row["amount"]),
        step=1 if token is None else token.step,
    )


def by_invoice(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of payments or options by the invoice that they belong to."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["invoice_id"]].append(row)
    return found


async def load_views(tx: Tx, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Invoices as their GET gives them, by id; unknown ids are left out."""
    rows, paying, offered, cursors = await read_all(
        tx,
        [
            Read(_INVOICES, invoices.c.id, ids),
            Read(_PAYMENTS, payments.c.invoice_id, ids),
            Read(_OPTIONS, invoice_options.c.invoice_id, ids),
            Read(CURSORS),
        ],
    )
    statuses = await _payout_statuses(tx, paying)
    around = _Around(by_invoice(offered), by_invoice(paying), statuses, blocks_by_chain(cursors))
    return _views(tx, rows, around)


@dataclass(frozen=True, slots=True)
class _Around:
    """What invoices are shown with, by invoice id, payout id and chain."""

    options: Mapping[str, Sequence[Row]]
    payments: Mapping[str, Sequence[Row]]
    payout_statuses: Mapping[str, str]
    cursors: Mapping[str, int]


def _views(tx: Tx, rows: Sequence[Row], around: _Around) -> dict[str, dict[str, Any]]:
    return {
        row["id"]: view_invoice(
            row,
            options=around.options.get(row["id"], ()),
            payments=around.payments.get(row["id"], ()),
            payout_statuses=around.payout_statuses,
            cursors=around.cursors,
            catalogue=tx.catalogue,
            public_url=tx.public_url,
        )
        for row in rows
    }


async def _payout_statuses(tx: Tx, rows: Sequence[Row]) -> dict[str, str]:
    statuses: dict[str, str] = {}
    for part in chunked(sorted({p["payout_id"] for p in rows if p["payout_id"] is not None})):
        query = sa.select(payouts.c.id, payouts.c.status).where(payouts.c.id.in_(part))
        statuses.update((row.id, row.status) for row in await tx.conn.execute(query))
    return statuses


async def cursor_blocks(tx: Tx) -> dict[str, int]:
    """Newest processed block by chain."""
    return blocks_by_chain(await execute(tx, CURSORS))


def blocks_by_chain(cursors: Sequence[Row]) -> dict[str, int]:
    """Rows of :data:`CURSORS`."""
    return {row["chain"]: row["cursor_block"] for row in cursors}
