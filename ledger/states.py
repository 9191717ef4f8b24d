"""The four state machines as data: who may follow whom.

The same tables are enforced twice: by :func:`check_transition` in the store,
and by triggers that the migrations install, so that no other program, and no
operator at a database prompt, makes a step that is not in them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from config.errors import ConflictError


class InvoiceStatus(StrEnum):
    """What a merchant may rely on; ``paid`` alone means *ship*."""

    NEW = "new"
    PARTIALLY_PAID = "partially_paid"
    PROCESSING = "processing"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELED = "canceled"
    INVALID = "invalid"


class PaymentStatus(StrEnum):
    """One ERC-20 Transfer log to a deposit address."""

    DETECTED = "detected"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    IGNORED = "ignored"
    ORPHANED = "orphaned"
    REVERSED = "reversed"


class PayoutStatus(StrEnum):
    """A promise to a merchant."""

    PENDING_APPROVAL = "pending_approval"
    QUEUED = "queued"
    BATCHED = "batched"
    SUBMITTED = "submitted"
    PAID = "paid"
    ON_HOLD = "on_hold"
    CANCELED = "canceled"
    FAILED = "failed"


class TransactionStatus(StrEnum):
    """An attempt: one signed transaction of a lane."""

    PREPARED = "prepared"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    MINED = "mined"
    FINAL = "final"
    REPLACED = "replaced"
    DEAD = "dead"
    REVERTED = "reverted"


class BatchStatus(StrEnum):
    """A sealed unit of work of a lane (payouts or sweeps); outlives its attempts."""

    SEALED = "sealed"
    SUBMITTED = "submitted"
    EXECUTED = "executed"
    FINAL = "final"
    VOID = "void"


Transitions = dict[str, frozenset[str]]

_COUNTED_INVOICE: Final = frozenset(
    {"new", "partially_paid", "processing", "paid", "expired", "canceled"}
)

INVOICE: Final[Transitions] = {
    # The status is recomputed from its payments: any edge between these may come out.
    **{status: _COUNTED_INVOICE | {"invalid"} for status in _COUNTED_INVOICE},
    "invalid": _COUNTED_INVOICE,
}

PAYMENT: Final[Transitions] = {
    "detected": frozenset({"confirming", "confirmed", "orphaned"}),
    "confirming": frozenset({"confirmed", "orphaned"}),
    "confirmed": frozenset({"reversed"}),
    "orphaned": frozenset({"detected", "confirming", "confirmed"}),
    "reversed": frozenset({"detected", "confirming", "confirmed"}),
    # Only what was ignored for its token, once that is registered: a trigger sees to the reason.
    "ignored": frozenset({"detected"}),
}

PAYOUT: Final[Transitions] = {
    "pending_approval": frozenset({"queued", "canceled"}),
    "queued": frozenset({"batched", "on_hold", "canceled"}),
    "batched": frozenset({"submitted", "queued", "on_hold"}),
    "submitted": frozenset({"paid", "queued", "on_hold", "failed"}),
    "on_hold": frozenset({"queued", "canceled", "failed"}),
    "paid": frozenset({"submitted"}),
    "canceled": frozenset(),
    "failed": frozenset(),
}

TRANSACTION: Final[Transitions] = {
    "prepared": frozenset({"signed"}),
    "signed": frozenset({"broadcast"}),
    "broadcast": frozenset({"mined", "replaced", "dead"}),
    "mined": frozenset({"final", "broadcast", "replaced", "reverted"}),
    "final": frozenset(),
    # Said only once another attempt on the nonce is final: until then all stay broadcast.
    "replaced": frozenset(),
    "dead": frozenset(),
    "reverted": frozenset(),
}

BATCH: Final[Transitions] = {
    "sealed": frozenset({"submitted", "void"}),
    "submitted": frozenset({"executed", "void"}),
    "executed": frozenset({"final", "submitted"}),
    "final": frozenset({"submitted"}),
    "void": frozenset(),
}

MACHINES: Final[dict[str, Transitions]] = {
    "invoices": INVOICE,
    "payments": PAYMENT,
    "payouts": PAYOUT,
    "transactions": TRANSACTION,
    "batches": BATCH,
}
"""Table name to the machine of its ``status`` column."""


def check_transition(table: str, before: str, after: str) -> None:
    """Refuse a step that the machine does not have; staying is always allowed.

    :raises ConflictError: with the steps that were possible.
    """
    if after == before or after in MACHINES[table][before]:
        return
    possible = ", ".join(sorted(MACHINES[table][before])) or "none: it is final"
    raise ConflictError(
        f"{table[:-1] if table != 'batches' else 'batch'} cannot go from {before} to {after}",
        remedy=f"possible: {possible}",
    )
