"""An invoice's status as a function of its payments and the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import A_MICRO
from ledger.invoice_state import InvoiceFacts, PaymentFacts, evaluate, tolerance_micros
from ledger.states import InvoiceStatus, PaymentStatus

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DEADLINE = T0 + timedelta(minutes=30)
D, F, C, O, R, I = (  # noqa: E741
    PaymentStatus.DETECTED,
    PaymentStatus.CONFIRMING,
    PaymentStatus.CONFIRMED,
    PaymentStatus.ORPHANED,
    PaymentStatus.REVERSED,
    PaymentStatus.IGNORED,
)


def facts(amount: int = 100, tolerance: int = 0, **flags: bool) -> InvoiceFacts:
    given_flags = {"canceled": False, "invalid": False, **flags}
    return InvoiceFacts(amount=amount, tolerance=tolerance, expires_at=DEADLINE, **given_flags)


def paid(
    value: int,
    status: PaymentStatus,
    *,
    held: bool = False,
    reason: str | None = None,
    at: datetime = T0,
    rest: int = 0,
    step: int = 1,
) -> PaymentFacts:
    return PaymentFacts(value, status, held, reason, at, rest, step)


BEFORE, AFTER = T0, DEADLINE + timedelta(seconds=1)
LATE = DEADLINE + timedelta(microseconds=1)
CASES = [
    ("nothing", facts(), [], BEFORE, "new", ()),
    ("deadline itself", facts(), [], DEADLINE, "new", ()),
    ("past deadline", facts(), [], AFTER, "expired", ()),
    ("canceled", facts(canceled=True), [], AFTER, "canceled", ()),
    ("invalid", facts(invalid=True), [paid(100, C)], BEFORE, "invalid", ()),
    ("part", facts(), [paid(40, C)], BEFORE, "partially_paid", ()),
    ("part, past", facts(), [paid(40, C)], AFTER, "partially_paid", ("underpaid",)),
    ("seen", facts(), [paid(100, D)], BEFORE, "processing", ()),
    ("part final", facts(), [paid(60, C), paid(40, F)], BEFORE, "processing", ()),
    ("final", facts(), [paid(60, C), paid(40, C)], BEFORE, "paid", ()),
    ("one under", facts(), [paid(99, C)], BEFORE, "partially_paid", ()),
    ("one over", facts(), [paid(101, C)], BEFORE, "paid", ("overpaid",)),
    ("within tolerance", facts(tolerance=1), [paid(99, C)], BEFORE, "paid", ()),
    ("tolerance edge", facts(tolerance=1), [paid(98, C)], BEFORE, "partially_paid", ()),
    ("over within tolerance", facts(tolerance=1), [paid(101, C)], BEFORE, "paid", ()),
    ("final, more coming", facts(), [paid(100, C), paid(5, D)], BEFORE, "paid", ("overpaid",)),
    ("late", facts(), [paid(100, C, at=LATE)], AFTER, "paid", ("late",)),
    ("at the deadline", facts(), [paid(100, C, at=DEADLINE)], AFTER, "paid", ()),
    ("orphaned", facts(), [paid(100, O)], BEFORE, "new", ()),
    ("orphaned, past", facts(), [paid(100, O)], AFTER, "expired", ()),
    ("reversed", facts(), [paid(100, R)], BEFORE, "new", ("reversed",)),
    ("reversed, canceled", facts(canceled=True), [paid(100, R)], AFTER, "canceled", ("reversed",)),
    ("held", facts(), [paid(0, C, held=True, reason="wrong_token")], BEFORE, "new",
     ("wrong_token", "held")),
    ("other chain", facts(), [paid(0, D, held=True, reason="wrong_chain")], BEFORE, "new",
     ("wrong_chain", "held")),
    ("unmatched", facts(), [paid(0, C, held=True, reason="unmatched", at=LATE)], AFTER, "expired",
     ("held",)),
    ("unsupported", facts(), [paid(0, I, reason="unsupported_token")], BEFORE, "new",
     ("wrong_token",)),
    ("native coin, no payment", facts(native_coin=True), [], BEFORE, "new", ("native_coin",)),
    ("native coin, paid", facts(native_coin=True), [paid(100, C)], BEFORE, "paid", ("native_coin",)),
    ("zero value", facts(), [paid(0, I, reason="zero_value")], BEFORE, "new", ()),
    ("thirds of a micro", facts(1), [paid(0, C, rest=A_MICRO // 3)] * 2 + [paid(0, C, rest=A_MICRO // 3 + 1)],
     BEFORE, "paid", ()),
    ("below a micro", facts(1), [paid(0, C, rest=A_MICRO - 1)], BEFORE, "new", ()),
    ("in cents, rounded up", facts(10_001), [paid(20_000, C, step=10_000)], BEFORE, "paid", ()),
    ("in cents, one over", facts(10_001), [paid(30_000, C, step=10_000)], BEFORE, "paid",
     ("overpaid",)),
    ("tolerance above amount", facts(tolerance=200), [], BEFORE, "new", ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("invoice", "payments", "now", "status", "exceptions"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_evaluate__case__status_and_labels(
    invoice: InvoiceFacts,
    payments: list[PaymentFacts],
    now: datetime,
    status: str,
    exceptions: tuple[str, ...],
) -> None:
    verdict = evaluate(invoice, payments, now)
    assert (verdict.status.value, verdict.exceptions) == (status, exceptions)


@pytest.mark.parametrize(
    ("absolute", "bps", "expected"), [(0, 0, 0), (5, 0, 5), (0, 50, 5), (7, 50, 7), (3, 99, 9)]
)
def test_tolerance__larger_of_both__rounded_down(absolute: int, bps: int, expected: int) -> None:
    assert tolerance_micros(1000, absolute, bps) == expected


payments_of = st.lists(
    st.builds(
        PaymentFacts,
        value=st.integers(0, 2**256),
        status=st.sampled_from(PaymentStatus),
        held=st.booleans(),
        reason=st.none(),
        block_time=st.datetimes(
            T0.replace(tzinfo=None), LATE.replace(tzinfo=None), timezones=st.just(UTC)
        ),
    ),
    max_size=6,
)


@given(payments_of, st.permutations(range(6)), st.sampled_from([BEFORE, AFTER]))
def test_evaluate__any_order_of_payments__same_verdict(
    payments: list[PaymentFacts], order: list[int], now: datetime
) -> None:
    shuffled = [payments[i] for i in order if i < len(payments)]
    assert evaluate(facts(), payments, now) == evaluate(facts(), shuffled, now)


@given(payments_of, st.sampled_from([BEFORE, AFTER]))
def test_evaluate__paid__only_with_the_whole_amount_confirmed(
    payments: list[PaymentFacts], now: datetime
) -> None:
    confirmed = sum(p.value for p in payments if p.status is C and not p.held)
    verdict = evaluate(facts(), payments, now)
    assert (verdict.status is InvoiceStatus.PAID) == (confirmed >= 100)
