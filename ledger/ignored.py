"""What was ignored and is not there any more: the block that held it has left the chain.

A tally is never counted down: which of its logs are gone is what the blocks say, so that a log
that comes back with its block counts again by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa

from config.units import Address
from ledger.bulk import Update, write_all
from ledger.payment_rules import Sighting
from ledger.schema import blocks, payments
from ledger.store import Tx
from ledger.views import Row

_PLACE: Final = ("block_number", "block_hash", "block_time", "log_index")


async def gone(
    tx: Tx, chain: str, reasons: Collection[str], invoice_ids: Sequence[str] | None = None
) -> dict[tuple[Address, Address], int]:
    """Base units by (recipient, token contract) that were ignored in blocks no longer canonical.

    :param invoice_ids: of these invoices; ``None``: of all.
    """
    query = (
        sa.select(payments.c.recipient, payments.c.token_address, payments.c.amount)
        .join(
            blocks,
            sa.and_(
                blocks.c.chain == payments.c.chain,
                blocks.c.number == payments.c.block_number,
                blocks.c.hash == payments.c.block_hash,
            ),
        )
        .where(
            payments.c.chain == chain,
            payments.c.status == "ignored",
            payments.c.reason.in_(sorted(reasons)),
            blocks.c.canonical.is_(False),
        )
    )
    if invoice_ids is not None:
        query = query.where(payments.c.invoice_id.in_(invoice_ids))
    sums: dict[tuple[Address, Address], int] = defaultdict(int)
    for row in await tx.conn.execute(query):
        sums[Address(row.recipient), Address(row.token_address)] += row.amount
    return sums


def follow(tx: Tx, moved: Sequence[tuple[Row, Sighting]]) -> None:
    """Ignored logs that came back in another block: there they are from now on."""
    rows: list[dict[str, Any]] = [
        {**row, **{name: getattr(sighting, name) for name in _PLACE}} for row, sighting in moved
    ]
    write_all(tx, [Update(payments, rows, _PLACE)])
