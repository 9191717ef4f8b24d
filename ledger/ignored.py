"""What was ignored: counted per address, token and reason; and what of it is not there any more.

A tally is not counted down when a block leaves the chain: which of its logs are gone is what
the blocks say, so that a log that comes back with its block counts again by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from config.catalogue import Catalogue
from config.units import Address
from ledger.bulk import Update, execute, select_in, write_all
from ledger.payment_rows import sight
from ledger.payment_rules import UNSUPPORTED, Sighting, Tally
from ledger.schema import blocks, ignored_logs, payments, sightings
from ledger.sql import as_row, chunked, upsert
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
PLACE: Final = ("block_number", "block_hash", "block_time", "log_index")
TALLY_KEY: Final = ("chain", "recipient", "token_address", "reason")
TallyKey = tuple[str, bytes, bytes, str]


def registered_since(catalogue: Catalogue, chain: str, token_address: bytes, reason: str) -> bool:
    """Whether what was ignored for its token alone would not be any more."""
    token = catalogue.token_by_address(chain, token_address)
    return reason == UNSUPPORTED and token is not None and not token.flagged


async def tallies_of(tx: Tx, recipients: Sequence[bytes]) -> dict[TallyKey, Tally]:
    """What has been counted at these addresses."""
    found: dict[TallyKey, Tally] = {}
    for part in chunked(recipients):
        query = sa.select(ignored_logs).where(ignored_logs.c.recipient.in_(part))
        for found_row in await tx.conn.execute(query):
            row = as_row(found_row)
            key = (row["chain"], row["recipient"], row["token_address"], row["reason"])
            newest = (row["last_block"], row["last_index"])
            found[key] = Tally(row["count"], row["total"], newest)
    return found


async def save_tallies(tx: Tx, changed: Mapping[TallyKey, Tally]) -> None:
    """Write these, new or known."""
    rows = [
        {**dict(zip(TALLY_KEY, key, strict=True)), **changed[key].values()}
        for key in sorted(changed)
    ]
    await upsert(tx, ignored_logs, rows, key=TALLY_KEY)


async def gone(
    tx: Tx, chain: str, reasons: Collection[str], invoice_ids: Sequence[str] | None = None
) -> dict[tuple[Address, Address], int]:
    """Base units by (recipient, token contract) that were ignored in blocks no longer canonical.

    Without what :func:`registered_since` names: nobody counts that.

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
        token_address, reason = row["token_address"], row["reason"]
        if reason in reasons and not registered_since(tx.catalogue, chain, token_address, reason):
            sums[Address(row["recipient"]), Address(row["token_address"])] += row["amount"]
    return sums


def follow(tx: Tx, moved: Sequence[tuple[Row, Sighting]]) -> None:
    """Ignored logs that came back in another block: there they are from now on."""
    rows: list[dict[str, Any]] = [
        {**row, **{name: getattr(sighting, name) for name in PLACE}} for row, sighting in moved
    ]
    seen = [(row["id"], sighting) for row, sighting in moved]
    write_all(tx, [Update(payments, rows, PLACE), sight(tx, seen)])
