"""An invoice under any story of payments, reorgs, deadlines and cancelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from ledger.invoice_state import SEEN, InvoiceFacts, PaymentFacts, evaluate
from ledger.states import InvoiceStatus, PaymentStatus, check_transition

START = datetime(2026, 11, 1, tzinfo=UTC)
AMOUNT, TOLERANCE = 1_000, 5
FORWARD = {
    PaymentStatus.DETECTED: (PaymentStatus.CONFIRMING, PaymentStatus.CONFIRMED),
    PaymentStatus.CONFIRMING: (PaymentStatus.CONFIRMED,),
}
GONE = {
    PaymentStatus.DETECTED: PaymentStatus.ORPHANED,
    PaymentStatus.CONFIRMING: PaymentStatus.ORPHANED,
    PaymentStatus.CONFIRMED: PaymentStatus.REVERSED,
}


class InvoiceMachine(RuleBasedStateMachine):
    """What the watcher, the clock and the merchant can do to an invoice, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.invoice = InvoiceFacts(
            AMOUNT, TOLERANCE, START + timedelta(minutes=30), canceled=False, invalid=False
        )
        self.payments: list[PaymentFacts] = []
        self.status = InvoiceStatus.NEW

    def _look(self) -> None:
        verdict = evaluate(self.invoice, self.payments, self.now)
        check_transition("invoices", self.status, verdict.status)
        self.status = verdict.status

    def _move(self, data: st.DataObject, among: set[PaymentStatus]) -> int | None:
        places = [i for i, p in enumerate(self.payments) if p.status in among]
        return data.draw(st.sampled_from(places)) if places else None

    @rule(
        value=st.one_of(st.sampled_from([1, 994, 995, 1_000, 1_005, 1_006]), st.integers(1, 2_000)),
        held=st.booleans(),
        age=st.integers(0, 3_600),
    )
    def paid(self, value: int, held: bool, age: int) -> None:
        when = self.now - timedelta(seconds=age)
        reason = "wrong_token" if held else None
        self.payments.append(PaymentFacts(value, PaymentStatus.DETECTED, held, reason, when))
        self._look()

    @rule(data=st.data())
    def deepens(self, data: st.DataObject) -> None:
        place = self._move(data, set(FORWARD))
        if place is not None:
            before = self.payments[place]
            after = data.draw(st.sampled_from(FORWARD[before.status]))
            check_transition("payments", before.status, after)
            self.payments[place] = replace(before, status=after)
            self._look()

    @rule(data=st.data())
    def reorged(self, data: st.DataObject) -> None:
        place = self._move(data, set(GONE))
        if place is not None:
            before = self.payments[place]
            check_transition("payments", before.status, GONE[before.status])
            self.payments[place] = replace(before, status=GONE[before.status])
            self._look()

    @rule(data=st.data())
    def included_again(self, data: st.DataObject) -> None:
        place = self._move(data, set(GONE.values()))
        if place is not None:
            before = self.payments[place]
            check_transition("payments", before.status, PaymentStatus.DETECTED)
            self.payments[place] = replace(before, status=PaymentStatus.DETECTED)
            self._look()

    @rule(seconds=st.integers(0, 3_600))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._look()

    @precondition(lambda self: not self.invoice.canceled)
    @rule()
    def canceled(self) -> None:
        self.invoice = replace(self.invoice, canceled=True)
        self._look()

    @invariant()
    def order_makes_no_difference(self) -> None:
        forth = evaluate(self.invoice, self.payments, self.now)
        assert evaluate(self.invoice, self.payments[::-1], self.now) == forth

    @invariant()
    def ship_only_what_is_final(self) -> None:
        counted = [p for p in self.payments if not p.held]
        final = sum(p.value for p in counted if p.status is PaymentStatus.CONFIRMED)
        assert (self.status is InvoiceStatus.PAID) == (final >= AMOUNT - TOLERANCE)

    @invariant()
    def whatever_counts_is_shown(self) -> None:
        seen = sum(p.value for p in self.payments if p.status in SEEN and not p.held)
        silent = {InvoiceStatus.NEW, InvoiceStatus.EXPIRED, InvoiceStatus.CANCELED}
        assert (self.status in silent) == (seen == 0)

    @invariant()
    def labels_say_why(self) -> None:
        labels = set(evaluate(self.invoice, self.payments, self.now).exceptions)
        assert ("overpaid" in labels) <= (self.status in {"processing", "paid"})
        assert ("underpaid" in labels) <= (self.status == "partially_paid")
        statuses = {p.status for p in self.payments}
        assert ("reversed" in labels) == (PaymentStatus.REVERSED in statuses)


TestInvoice = InvoiceMachine.TestCase
