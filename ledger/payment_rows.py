"""What recording and moving payments share: rows, posting keys, accounts, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ledger.bulk import Insert, update_rows
from ledger.invoices import cursor_blocks
from ledger.outbox import NewEvent, emit
from ledger.payment_rules import Sighting
from ledger.postings import AccountKind, AccountRef, Transfer
from ledger.schema import payments, sightings
from ledger.states import PaymentStatus
from ledger.store import Tx
from ledger.views import Row, view_payment

_EVENT: Final = {
    PaymentStatus.CONFIRMED: "payment.confirmed",
    PaymentStatus.ORPHANED: "payment.orphaned",
    PaymentStatus.REVERSED: "payment.reversed",
    PaymentStatus.DETECTED: "payment.detected",
    PaymentStatus.IGNORED: "payment.ignored",
}


@dataclass(frozen=True, slots=True)
class PaymentPolicy:
    """Configured numbers that decide about payments; ``dust`` in micros."""

    dust: int = 0
    fee_bps: int = 0


def update_payments(tx: Tx, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write these columns of these rows, by payment id."""
    update_rows(tx, payments, rows, columns)


async def tell_payments(
    tx: Tx, rows: Sequence[Row], cursors: Mapping[str, int] | None = None
) -> None:
    """Append the event that belongs to each row's status.

    :param cursors: newest processed block by chain, where it has been read already.
    """
    if cursors is None:
        cursors = await cursor_blocks(tx)
    await emit(
        tx,
        [
            NewEvent(
                row["merchant_id"],
                type_,
                row["id"],
                view_payment(row, tx.catalogue, cursors.get(row["chain"])),
            )
            for row in rows
            if (type_ := _EVENT.get(PaymentStatus(row["status"]))) is not None
        ],
    )


def posting_key(row: Row) -> str:
    """Stem of the keys of a payment's postings: a new one each time it is credited."""
    return f"{row['id']}:{row['credits']}"


def accounts_of(row: Row) -> tuple[AccountRef, AccountRef]:
    """Where the money is, and whose it is."""
    return _accounts(row["held"], row["chain"], row["token"], row["merchant_id"])


@lru_cache(maxsize=1024)
def _accounts(
    held: bool, chain: str, token: str, merchant_id: str
) -> tuple[AccountRef, AccountRef]:
    kind = AccountKind.HELD if held else AccountKind.MERCHANT
    return (
        AccountRef(AccountKind.DEPOSITS, chain, token),
        AccountRef(kind, chain, token, merchant_id),
    )


def credit_of(row: Row) -> Transfer:
    """The pending transfer with which a payment enters the books."""
    deposits, owner = accounts_of(row)
    return Transfer(
        f"{posting_key(row)}:credit",
        deposits,
        owner,
        row["amount"],
        "payment",
        row["id"],
        kind="pending",
    )


def sight(tx: Tx, seen: Sequence[tuple[str, Sighting]]) -> Insert:
    """That these payments were seen in these blocks; what is known already stays."""
    rows = [
        {
            "chain": s.chain,
            "block_hash": s.block_hash,
            "log_index": s.log_index,
            "payment_id": payment_id,
            "block_number": s.block_number,
            "seen_at": tx.now,
        }
        for payment_id, s in seen
    ]
    return Insert(sightings, rows, ignore=True)
