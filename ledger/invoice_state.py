"""What an invoice is, as a pure function of its payments and the time.

::

    created            expires_at             monitor_until
       |------ new -------|------ expired ---------|---- (unmatched: held) ---
           payment seen     late payment: credited,
                            labelled ``late``

The status is recomputed from scratch each time and never counted up, so that
no order of payments, reorgs and deadlines can leave it wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from config.catalogue import A_MICRO
from ledger.states import InvoiceStatus, PaymentStatus

SEEN: Final = (PaymentStatus.DETECTED, PaymentStatus.CONFIRMING, PaymentStatus.CONFIRMED)
"""In a tuple, where a member is found by identity: a set would call ``Enum.__hash__``."""


class InvoiceFacts(Struct, frozen=True):
    """``amount`` and ``tolerance`` in micros of the invoice's currency."""

    amount: int
    tolerance: int
    expires_at: datetime
    canceled: bool
    invalid: bool
    native_coin: bool = False
    """The network's own coin lies at the address: it leaves no log, so there is no payment."""


class PaymentFacts(Struct, frozen=True):
    """One payment; ``value`` in micros of the invoice's currency, rounded down."""

    value: int
    status: PaymentStatus
    held: bool
    reason: str | None
    block_time: datetime
    rest: int = 0
    """What rounding ``value`` down has left out (``Token.below_micros``)."""
    step: int = 1
    """Micros of its token's base unit (``Token.step``)."""


class InvoiceVerdict(Struct, frozen=True):
    """Status and the labels that explain it, in the order of the contract."""

    status: InvoiceStatus
    exceptions: tuple[str, ...]


def tolerance_micros(amount: int, absolute: int, bps: int) -> int:
    """Shortfall still counted as paid: the larger of the two limits, in micros."""
    return max(absolute, amount * bps // 10_000)


def together(parts: Iterable[tuple[int, int]]) -> int:
    """Micros of several payments, given as (value, rest): added up first, rounded down once.

    Else what was paid exactly, in parts finer than a micro, would be short of it.
    """
    values, rests = 0, 0
    for value, rest in parts:
        values += value
        rests += rest
    return values + rests // A_MICRO


def evaluate(
    invoice: InvoiceFacts, payments: Sequence[PaymentFacts], now: datetime
) -> InvoiceVerdict:
    """Status and exceptions at ``now``.

    A payment counts when it is on the chain and not held. Lateness is decided
    by block time, never by when it was noticed.
    """
    counted = [p for p in payments if p.status in SEEN and not p.held]
    seen = together([(p.value, p.rest) for p in counted])
    confirmed = [p for p in counted if p.status is PaymentStatus.CONFIRMED]
    final = together([(p.value, p.rest) for p in confirmed])
    required = max(invoice.amount - invoice.tolerance, 1)
    past = now > invoice.expires_at
    return InvoiceVerdict(
        status=_status(invoice, seen=seen, final=final, required=required, past=past),
        exceptions=_exceptions(invoice, payments, counted, seen=seen, required=required, past=past),
    )


def _status(
    invoice: InvoiceFacts, *, seen: int, final: int, required: int, past: bool
) -> InvoiceStatus:
    if invoice.invalid:
        return InvoiceStatus.INVALID
    if final >= required:
        return InvoiceStatus.PAID
    if seen >= required:
        return InvoiceStatus.PROCESSING
    if seen > 0:
        return InvoiceStatus.PARTIALLY_PAID
    if invoice.canceled:
        return InvoiceStatus.CANCELED
    return InvoiceStatus.EXPIRED if past else InvoiceStatus.NEW


def _exceptions(
    invoice: InvoiceFacts,
    payments: Sequence[PaymentFacts],
    counted: Sequence[PaymentFacts],
    *,
    seen: int,
    required: int,
    past: bool,
) -> tuple[str, ...]:
    if not payments and not invoice.native_coin:
        return ()
    latest = max([p.block_time for p in counted], default=invoice.expires_at)
    reasons = {p.reason for p in payments if p.status in (*SEEN, PaymentStatus.IGNORED)}
    # The price in a token of few decimals is rounded up: who pays it has paid exactly.
    step = max([p.step for p in counted], default=1)
    labels = (
        ("underpaid", past and 0 < seen < required),
        ("overpaid", seen - invoice.amount - invoice.tolerance >= step),
        ("late", latest > invoice.expires_at),
        ("wrong_token", "wrong_token" in reasons or "unsupported_token" in reasons),
        ("wrong_chain", "wrong_chain" in reasons),
        ("native_coin", invoice.native_coin),
        ("reversed", PaymentStatus.REVERSED in [p.status for p in payments]),
        ("held", True in [p.held and p.status in SEEN for p in payments]),
    )
    return tuple([name for name, applies in labels if applies])
