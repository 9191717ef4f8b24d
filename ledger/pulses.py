"""What is watched of many invoices at once: by their payers, and by merchants' long polls."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from ledger.bulk import Read, read_all
from ledger.invoices import cursor_blocks
from ledger.schema import invoices, payments
from ledger.store import Tx

_STATUSES: Final = sa.select(invoices.c.id, invoices.c.merchant_id, invoices.c.status)
_SHOWN: Final = sa.select(
    invoices.c.id,
    invoices.c.status,
    invoices.c.exceptions,
    invoices.c.expires_at,
    invoices.c.canceled_at,
)
_SEEN: Final = sa.select(
    payments.c.invoice_id,
    payments.c.id,
    payments.c.status,
    payments.c.held,
    payments.c.chain,
    payments.c.block_number,
).order_by(payments.c.id)


async def invoice_statuses(tx: Tx, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Merchant and status of invoices, as cheaply as a poll needs it."""
    (rows,) = await read_all(tx, [Read(_STATUSES, invoices.c.id, ids)])
    return {row["id"]: (row["merchant_id"], row["status"]) for row in rows}


async def invoice_pulses(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """A short text by invoice that differs whenever it looks different to its payer.

    Three reads, however many there are; without those that do not exist.
    """
    shown, seen = await read_all(
        tx, [Read(_SHOWN, invoices.c.id, ids), Read(_SEEN, payments.c.invoice_id, ids)]
    )
    blocks = await cursor_blocks(tx) if seen else {}
    paid: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for payment in seen:
        paid[payment["invoice_id"]].append(payment)
    return {row["id"]: _pulse(tx, row, paid[row["id"]], blocks) for row in shown}


def _pulse(
    tx: Tx, shown: dict[str, Any], seen: Sequence[dict[str, Any]], blocks: dict[str, int]
) -> str:
    past = tx.now > shown["expires_at"]
    parts = [shown["status"], *shown["exceptions"], str(past), str(shown["canceled_at"])]
    for payment in seen:
        open_ = payment["status"] in ("detected", "confirming")
        depth = blocks.get(payment["chain"], 0) - payment["block_number"] if open_ else 0
        parts.append(f"{payment['id']}:{payment['status']}:{payment['held']}:{depth}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
