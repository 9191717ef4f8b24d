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
from ledger.bulk import Update, execute, select_in, write_all
from ledger.payment_rows import sight
from ledger.payment_rules import Sighting
from ledger.schema import blocks, payments, sightings
from ledger.store import Tx
from ledger.views import Row

_IGNORED: Final = sa.select(
    payments.c.recipient, payments.c.token_address, payments.c.amount, payments.c.reason
).where(payments.c.status == sa.literal_column("'ignored'"))
_OWN: Final = _IGNORED.join(
    blocks,
    sa.and_(
        blocks.c.number == payments.c.block_number,
        blocks.c.hash == payments.c.block_hash,
    ),
).where(blocks.c.chain == sa.bindparam("of_chain"), blocks.c.canonical.is_(False))
"""No word of the payment's chain: SQLite would read all of the chain's for it."""
_LEFT: Final = sa.select(blocks.c.hash).where(
    blocks.c.chain == sa.bindparam("of_chain"), blocks.c.canonical.is_(False)
)
_SEEN: Final = _IGNORED.join(sightings, sightings.c.payment_id == payments.c.id).where(
    sightings.c.chain == sa.bindparam("of_chain"),
    sightings.c.block_hash == payments.c.block_hash,
)
"""From the few blocks that left to what was seen in them: no index holds a chain's payments."""
_PLACE: Final = ("block_number", "block_hash", "block_time", "log_index")


async def gone(
    tx: Tx, chain: str, reasons: Collection[str], invoice_ids: Sequence[str] | None = None
) -> dict[tuple[Address, Address], int]:
    """Base units by (recipient, token contract) that were ignored in blocks no longer canonical.

    :param invoice_ids: of these invoices; ``None``: of all.
    """
    if invoice_ids is None:
        left = await execute(tx, _LEFT, of_chain=chain)
        hashes = [row["hash"] for row in left]
        rows = await select_in(tx, _SEEN, sightings.c.block_hash, hashes, {"of_chain": chain})
    else:
        keys = sorted(invoice_ids)
        rows = await select_in(tx, _OWN, payments.c.invoice_id, keys, {"of_chain": chain})
    sums: dict[tuple[Address, Address], int] = defaultdict(int)
    for row in rows:
        if row["reason"] in reasons:
            sums[Address(row["recipient"]), Address(row["token_address"])] += row["amount"]
    return sums


def follow(tx: Tx, moved: Sequence[tuple[Row, Sighting]]) -> None:
    """Ignored logs that came back in another block: there they are from now on."""
    rows: list[dict[str, Any]] = [
        {**row, **{name: getattr(sighting, name) for name in _PLACE}} for row, sighting in moved
    ]
    seen = [(row["id"], sighting) for row, sighting in moved]
    write_all(tx, [Update(payments, rows, _PLACE), sight(tx, seen)])
