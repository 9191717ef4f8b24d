"""Where a deposit becomes money: sightings recorded, payments moved, postings made.

Every finder (scan, rescan, backup scan, balance audit) comes through
:func:`record_sightings`; every change of a payment's status goes through
:func:`ledger.payment_moves.move_payments`. Both are idempotent: running a block again changes
nothing. Postings of one payment, each under a key of its own::

    detected            pending   deposits → merchant          (held: → held)
    confirmed           post      that pending transfer
                        posted    merchant → fees              (fee, rounded down)
    orphaned            void      that pending transfer
    reversed            posted    merchant → deposits          (what is missing: a receivable)
                        posted    fees → merchant
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from config.units import ZERO_ADDRESS, Address
from ledger.books import post
from ledger.bulk import Insert, Read, Update, read_all, write_all
from ledger.held import hold_payments
from ledger.ignored import follow, save_tallies, tallies_of
from ledger.invoices import CURSORS, Touched, blocks_by_chain, by_invoice
from ledger.late_tokens import Late, admit, judged_anew
from ledger.payment_rows import PaymentPolicy, credit_of, sight, tell_payments
from ledger.payment_rules import Classified, InvoiceTerms, Sighting, Tally, classify
from ledger.reuse import Earlier, earlier_owners, owner_then
from ledger.schema import (
    deposit_addresses,
    invoice_options,
    invoices,
    payments,
)
from ledger.states import PaymentStatus
from ledger.store import Tx
from ledger.views import Row

IGNORED_CAP: Final = 100
"""Ignored logs kept one by one per address, token and reason; beyond it only counted (f23)."""
TOKENS_CAP: Final = 100
"""Worthless contracts told apart per address: whoever deploys more is counted as one of them."""

_OWNERS: Final = sa.select(
    deposit_addresses.c.address,
    invoices.c.id,
    invoices.c.merchant_id,
    invoices.c.currency,
    invoices.c.monitor_until,
    deposit_addresses.c.assigned_at,
).join(invoices, invoices.c.id == deposit_addresses.c.invoice_id)
_OFFERED: Final = sa.select(invoice_options).join(
    deposit_addresses, deposit_addresses.c.invoice_id == invoice_options.c.invoice_id
)
_KNOWN: Final = (
    sa.select(payments)
    .where(payments.c.chain == sa.bindparam("chain"))
    .order_by(payments.c.variant)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class _Owner:
    invoice_id: str
    merchant_id: str
    terms: InvoiceTerms
    since: datetime | None = None
    """Set where the address had another invoice before."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of a group of sightings: new by outcome; duplicates are not counted."""

    credited: int = 0
    held: int = 0
    ignored: int = 0
    resumed: int = 0
    duplicates: int = 0
    strangers: int = 0
    """To addresses that are not ours."""
    entered: tuple[Row, ...] = ()
    """Rows of new and resumed payments, and of those judged anew, as written."""

    @property
    def found(self) -> int:
        """Payments that are in the books by it and were not before."""
        return self.credited + self.held + self.resumed


async def record_sightings(
    tx: Tx, found: Sequence[Sighting], policy: PaymentPolicy, touched: Touched
) -> Recorded:
    """Record Transfer logs of canonical blocks to our addresses, once each.

    A new payment enters as ``detected`` with its pending posting (or as
    ``ignored``, without one). A payment that was orphaned or reversed and is
    seen again, in any block, goes on if token, sender, recipient and amount are
    the same; otherwise it is another payment (``variant``). One that was ignored
    for its token enters if the token has been registered since.
    """
    if found:
        await tx.driver.prefer_indexes()
    standing = await _standing(tx, found, policy)
    reused = [a for a, o in standing.owners.items() if o.since is not None]
    before = await earlier_owners(tx, reused)
    fresh: list[tuple[Sighting, _Owner, Classified, int]] = []
    resumed: list[tuple[Row, Sighting]] = []
    moved: list[tuple[Row, Sighting]] = []
    late: list[Late] = []
    duplicates = strangers = 0
    for sighting in found:
        owner = _owner_of(sighting, standing.owners, before)
        if owner is None:
            strangers += 1
            continue
        same_place = standing.known[(sighting.chain, sighting.tx_hash, sighting.ordinal)]
        same = next((row for row in same_place if _continues(row, sighting)), None)
        if same is None:
            token = tx.catalogue.token_by_address(sighting.chain, sighting.token_address)
            verdict = classify(sighting, token, owner.terms)
            fresh.append((sighting, owner, verdict, len(same_place)))
            same_place.append(_as_row(sighting))
        elif same["status"] in (PaymentStatus.ORPHANED, PaymentStatus.REVERSED):
            resumed.append((same, sighting))
        elif (anew := judged_anew(tx.catalogue, same, sighting, owner.terms)) is not None:
            late.append((same, sighting, anew))
        else:
            duplicates += 1
            if _elsewhere_now(same, sighting):
                moved.append((same, sighting))
    kept, capped = await _within_cap(tx, fresh)
    entered = [
        await _insert(tx, kept, touched),
        await _resume(tx, resumed, touched),
        await admit(tx, late, touched),
    ]
    follow(tx, moved)
    for rows in entered:
        await tell_payments(tx, rows, standing.cursors)
    verdicts = [*(verdict for _, _, verdict, _ in kept), *(verdict for _, _, verdict in late)]
    return Recorded(
        credited=sum(not v.ignored and not v.held for v in verdicts),
        held=sum(v.held for v in verdicts),
        ignored=sum(v.ignored for v in verdicts) + capped,
        resumed=len(resumed),
        duplicates=duplicates,
        strangers=strangers,
        entered=tuple(row for rows in entered for row in rows),
    )


def _elsewhere_now(row: Row, sighting: Sighting) -> bool:
    """An ignored log whose block was exchanged for another that holds it."""
    ignored: bool = row["status"] == PaymentStatus.IGNORED
    return ignored and row["block_hash"] != sighting.block_hash


def _owner_of(
    sighting: Sighting,
    owners: Mapping[Address, _Owner],
    before: Mapping[Address, Sequence[Earlier]],
) -> _Owner | None:
    """Whose the recipient was when the block was made."""
    owner = owners.get(sighting.recipient)
    if owner is None or owner.since is None:
        return owner
    then = owner_then(before.get(sighting.recipient, ()), sighting.block_time)
    if then is None:
        return owner
    terms = InvoiceTerms(then.currency, then.options, then.monitor_until, owner.terms.dust)
    return _Owner(then.invoice_id, then.merchant_id, terms)


def _continues(row: Row, sighting: Sighting) -> bool:
    return (row["token_address"], row["sender"], row["recipient"], row["amount"]) == (
        sighting.token_address,
        sighting.sender,
        sighting.recipient,
        sighting.amount,
    )


def _as_row(sighting: Sighting) -> Row:
    return {
        "token_address": sighting.token_address,
        "sender": sighting.sender,
        "recipient": sighting.recipient,
        "amount": sighting.amount,
        "status": PaymentStatus.DETECTED,
    }


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whose the recipients are, which payments these transactions hold already, cursors."""

    owners: dict[Address, _Owner]
    known: dict[tuple[str, bytes, int], list[Row]]
    cursors: Mapping[str, int]


async def _standing(tx: Tx, found: Sequence[Sighting], policy: PaymentPolicy) -> _Standing:
    recipients = sorted({s.recipient for s in found})
    hashes: dict[str, set[bytes]] = defaultdict(set)
    for sighting in found:
        hashes[sighting.chain].add(sighting.tx_hash)
    rows, options, cursors, *stored = await read_all(
        tx,
        [
            Read(_OWNERS, deposit_addresses.c.address, recipients),
            Read(_OFFERED, deposit_addresses.c.address, recipients),
            Read(CURSORS),
            # With its chain, so that the index on what identifies a payment finds it.
            *(
                Read(_KNOWN, payments.c.tx_hash, sorted(wanted), {"chain": chain}, each=True)
                for chain, wanted in sorted(hashes.items())
            ),
        ],
    )
    known: dict[tuple[str, bytes, int], list[Row]] = defaultdict(list)
    for row in (row for part in stored for row in part):
        known[(row["chain"], row["tx_hash"], row["ordinal"])].append(row)
    offered = by_invoice(options)
    tx.asked.setdefault(invoice_options, {}).update(offered)
    return _Standing(_owners(rows, offered, policy), known, blocks_by_chain(cursors))


def _owners(
    rows: Sequence[Row], offered: Mapping[str, Sequence[Row]], policy: PaymentPolicy
) -> dict[Address, _Owner]:
    return {
        Address(row["address"]): _Owner(
            row["id"],
            row["merchant_id"],
            InvoiceTerms(
                row["currency"],
                frozenset([(o["chain"], o["token"]) for o in offered.get(row["id"], ())]),
                row["monitor_until"],
                policy.dust,
            ),
            row["assigned_at"],
        )
        for row in rows
    }


async def _within_cap(
    tx: Tx, fresh: Sequence[tuple[Sighting, _Owner, Classified, int]]
) -> tuple[list[tuple[Sighting, _Owner, Classified, int]], int]:
    """Count what is ignored per (address, token, reason); drop rows beyond the cap.

    What has no row of its own is known by its place alone: one at or below the newest that
    was counted has been counted before (a second reading), and is left out.
    """
    ignored = [(s, v) for s, _, v, _ in fresh if v.ignored]
    if not ignored:
        return list(fresh), 0
    tallies = await tallies_of(tx, sorted({s.recipient for s, _ in ignored}))
    strangers = Counter(key[1] for key in tallies if _unregistered(tx, key))
    kept, capped, moved = [], 0, set()
    for sighting, owner, verdict, variant in fresh:
        if verdict.ignored:
            assert verdict.reason is not None
            key = (sighting.chain, sighting.recipient, sighting.token_address, verdict.reason)
            if verdict.token is None and key not in tallies:
                if strangers[sighting.recipient] >= TOKENS_CAP:
                    key = (sighting.chain, sighting.recipient, ZERO_ADDRESS, verdict.reason)
                strangers[sighting.recipient] += key not in tallies
            before = tallies.get(key, Tally())
            full = before.count >= IGNORED_CAP
            if full and (sighting.block_number, sighting.log_index) <= before.newest:
                continue
            tallies[key] = before.with_one(sighting)
            moved.add(key)
            if full:
                capped += 1
                continue
        kept.append((sighting, owner, verdict, variant))
    await save_tallies(tx, {key: tallies[key] for key in moved})
    return kept, capped


def _unregistered(tx: Tx, key: tuple[str, bytes, bytes, str]) -> bool:
    return tx.catalogue.token_by_address(key[0], key[2]) is None


async def _insert(
    tx: Tx, fresh: Sequence[tuple[Sighting, _Owner, Classified, int]], touched: Touched
) -> list[Row]:
    if not fresh:
        return []
    ids = tx.new_ids("pay", len(fresh))
    rows: list[Row] = [_payment_row(tx, i, *one) for i, one in zip(ids, fresh, strict=True)]
    seen = [(row["id"], s) for row, (s, _, _, _) in zip(rows, fresh, strict=True)]
    write_all(tx, [Insert(payments, rows), sight(tx, seen)])
    booked = [credit_of(row) for row in rows if row["status"] != PaymentStatus.IGNORED]
    await post(tx, booked, fresh=True)  # their keys hold ids drawn just now
    await hold_payments(tx, [row for row in rows if row["held"]])
    touched.add({row["invoice_id"] for row in rows})
    return rows


def _payment_row(
    tx: Tx, payment_id: str, s: Sighting, owner: _Owner, verdict: Classified, variant: int
) -> dict[str, Any]:
    return {
        "id": payment_id,
        "invoice_id": owner.invoice_id,
        "merchant_id": owner.merchant_id,
        "chain": s.chain,
        "tx_hash": s.tx_hash,
        "ordinal": s.ordinal,
        "variant": variant,
        "token": verdict.token,
        "token_address": s.token_address,
        "sender": s.sender,
        "recipient": s.recipient,
        "amount": s.amount,
        "value": verdict.value,
        "fee": 0,
        "status": (PaymentStatus.IGNORED if verdict.ignored else PaymentStatus.DETECTED).value,
        "reason": verdict.reason,
        "held": verdict.held,
        "is_final": False,
        "credits": 1,
        "block_number": s.block_number,
        "block_hash": s.block_hash,
        "block_time": s.block_time,
        "log_index": s.log_index,
        "detected_at": tx.now,
        "confirmed_at": None,
        "payout_id": None,
        "sweep_item_id": None,
    }


async def _resume(tx: Tx, resumed: Sequence[tuple[Row, Sighting]], touched: Touched) -> list[Row]:
    """Re-included: the payment goes on from ``detected`` in its new block, credited anew."""
    if not resumed:
        return []
    rows: list[Row] = [
        {
            **row,
            "status": PaymentStatus.DETECTED.value,
            "credits": row["credits"] + 1,
            "is_final": False,
            "fee": 0,
            "confirmed_at": None,
            "block_number": s.block_number,
            "block_hash": s.block_hash,
            "block_time": s.block_time,
            "log_index": s.log_index,
        }
        for row, s in resumed
    ]
    changed = (
        "status", "credits", "is_final", "fee", "confirmed_at", "block_number", "block_hash",
        "block_time", "log_index",
    )  # fmt: skip
    seen = [(row["id"], s) for row, s in resumed]
    write_all(tx, [Update(payments, rows, changed), sight(tx, seen)])
    await post(tx, [credit_of(row) for row in rows])
    touched.add({row["invoice_id"] for row in rows})
    return rows
