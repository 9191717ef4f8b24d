"""Tokens that are registered after they were paid in: what was ignored is judged again.

::

    ignored (unsupported_token) → detected    its token is registered now, and the log was read
                                              again in a block of the chain; held where the
                                              invoice did not offer the token
                                → ignored     for another reason: it is dust

Nothing is credited for a configuration alone: the log has to be seen once more, through the
same door as any other (:func:`ledger.payments.record_sightings`), and waits for its
confirmations, second opinions and proofs from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from config.catalogue import Catalogue
from config.units import ZERO_ADDRESS, Address
from ledger.books import post
from ledger.bulk import Update, write_all
from ledger.held import hold_payments
from ledger.ignored import PLACE, TallyKey, registered_since, save_tallies, tallies_of
from ledger.invoices import Touched
from ledger.payment_rows import credit_of, sight
from ledger.payment_rules import (
    UNSUPPORTED,
    Classified,
    InvoiceTerms,
    Sighting,
    Tally,
    classify,
)
from ledger.reuse import earlier_invoices
from ledger.schema import blocks, deposit_addresses, ignored_logs, payments
from ledger.sql import chunked
from ledger.states import PaymentStatus, check_transition
from ledger.store import Tx
from ledger.views import Row

Late = tuple[Row, Sighting, Classified]
"""A payment as stored, where it was seen again, and what it is now."""
_CHANGED: Final = ("status", "token", "value", "reason", "held", *PLACE)


def judged_anew(
    catalogue: Catalogue, row: Row, sighting: Sighting, terms: InvoiceTerms
) -> Classified | None:
    """The verdict of today on what was ignored for its token; ``None``: it stands."""
    if row["status"] != PaymentStatus.IGNORED or not registered_since(
        catalogue, sighting.chain, sighting.token_address, row["reason"]
    ):
        return None
    token = catalogue.token_by_address(sighting.chain, sighting.token_address)
    return classify(sighting, token, terms)


async def admit(tx: Tx, late: Sequence[Late], touched: Touched) -> list[Row]:
    """Let these enter the books; returns the rows of those that did, dust left out.

    Whom it concerns is told by the caller; the invoices are left to ``touched``.
    """
    if not late:
        return []
    rows: list[Row] = [_judged(*one) for one in late]
    seen = [(row["id"], sighting) for row, sighting, _ in late]
    write_all(tx, [Update(payments, rows, _CHANGED), sight(tx, seen)])
    await _count_anew(tx, late)
    booked = [row for row in rows if row["status"] != PaymentStatus.IGNORED]
    await post(tx, [credit_of(row) for row in booked])
    await hold_payments(tx, [row for row in booked if row["held"]])
    touched.add({row["invoice_id"] for row in rows})
    return booked


def _judged(row: Row, sighting: Sighting, verdict: Classified) -> Row:
    status = PaymentStatus.IGNORED if verdict.ignored else PaymentStatus.DETECTED
    check_transition("payments", row["status"], status)
    return {
        **row,
        **{name: getattr(sighting, name) for name in PLACE},
        "status": status.value,
        "token": verdict.token,
        "value": verdict.value,
        "reason": verdict.reason,
        "held": verdict.held,
    }


async def _count_anew(tx: Tx, late: Sequence[Late]) -> None:
    """What is judged anew is no longer counted as unsupported, under whatever it was counted."""
    tallies = await tallies_of(tx, sorted({sighting.recipient for _, sighting, _ in late}))
    changed: dict[TallyKey, Tally] = {}
    for _, sighting, verdict in late:
        place = (sighting.chain, sighting.recipient)
        own: TallyKey = (*place, sighting.token_address, UNSUPPORTED)
        key = own if own in tallies else (*place, ZERO_ADDRESS, UNSUPPORTED)
        if key in tallies:
            tallies[key] = changed[key] = tallies[key].without(sighting.amount)
        if verdict.ignored:
            assert verdict.reason is not None
            dust: TallyKey = (*place, sighting.token_address, verdict.reason)
            tallies[dust] = changed[dust] = tallies.get(dust, Tally()).with_one(sighting)
    await save_tallies(tx, changed)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What :func:`judged_anew` would judge otherwise, once it is seen again; base units."""

    block: int
    recipient: Address
    token_address: Address
    amount: int


async def late_payments(tx: Tx, chain: str) -> list[Waiting]:
    """All that waits on a chain, but for what has left it with its block.

    Asked by the addresses at which something was ignored, so that the cost does not grow with
    the payments that were none of it.
    """
    tokens = [t.address for t in tx.catalogue.payable_tokens(chain)]
    found: list[Waiting] = []
    for part in chunked(await _with_ignored(tx, chain, tokens)):
        query = sa.select(deposit_addresses.c.invoice_id).where(
            deposit_addresses.c.address.in_(part)
        )
        now = list((await tx.conn.execute(query)).scalars())
        for ids in chunked([*now, *await earlier_invoices(tx, part)]):
            found += [
                Waiting(row[0], Address(row[1]), Address(row[2]), row[3])
                for row in await tx.conn.execute(_ignored(chain, ids, tokens))
            ]
    return found


async def late_blocks(tx: Tx, chain: str, highest: int) -> list[int]:
    """Blocks up to ``highest`` that hold :func:`late_payments`, ascending."""
    return sorted({w.block for w in await late_payments(tx, chain) if w.block <= highest})


async def _with_ignored(tx: Tx, chain: str, tokens: Sequence[Address]) -> list[Address]:
    """Addresses where something was ignored that is of these tokens, or may be."""
    query = (
        sa.select(ignored_logs.c.recipient)
        .where(
            ignored_logs.c.chain == chain,
            ignored_logs.c.reason == UNSUPPORTED,
            ignored_logs.c.token_address.in_([*tokens, ZERO_ADDRESS]),
            ignored_logs.c.count > 0,
        )
        .distinct()
    )
    return [Address(found) for found in (await tx.conn.execute(query)).scalars()]


def _ignored(chain: str, invoice_ids: Sequence[str], tokens: Sequence[Address]) -> sa.Select[Any]:
    left = sa.exists().where(
        blocks.c.chain == chain,
        blocks.c.number == payments.c.block_number,
        blocks.c.hash == payments.c.block_hash,
        blocks.c.canonical.is_(False),
    )
    return sa.select(
        payments.c.block_number, payments.c.recipient, payments.c.token_address, payments.c.amount
    ).where(
        payments.c.invoice_id.in_(invoice_ids),
        payments.c.chain == chain,
        payments.c.status == PaymentStatus.IGNORED.value,
        payments.c.reason == UNSUPPORTED,
        payments.c.token_address.in_(tokens),
        sa.not_(left),
    )
