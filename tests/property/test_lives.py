"""Invoice, payment, payout and transaction under any history: machines over the pure cores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chain.model import FeeQuote
from ledger.invoice_state import InvoiceFacts, PaymentFacts, evaluate
from ledger.payouts import PayoutMove, _postings, _reserve, draw_of
from ledger.postings import Totals, Transfer, available, credited, debited
from ledger.states import (
    INVOICE,
    PAYMENT,
    PAYOUT,
    TRANSACTION,
    InvoiceStatus,
    PaymentStatus,
    PayoutStatus,
    TransactionStatus,
)
from settlement.fees import Fees, raised
from settlement.verdicts import NonceStep, Patience, Pending, next_step

START = datetime(2026, 3, 1, tzinfo=UTC)
GWEI = 10**9
BOUNDS = settings(max_examples=60, stateful_step_count=30, deadline=None)


class InvoiceLife(RuleBasedStateMachine):
    """Payments come, are confirmed, leave the chain and come back; time passes; it is canceled."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.facts = InvoiceFacts(100, 2, START + timedelta(minutes=30), False, False)
        self.payments: list[PaymentFacts] = []
        self.before = InvoiceStatus.NEW

    @rule(value=st.integers(1, 120), held=st.booleans())
    def pay(self, value: int, held: bool) -> None:
        status = PaymentStatus.DETECTED
        reason = "wrong_token" if held else None
        self.payments.append(PaymentFacts(0 if held else value, status, held, reason, self.now))

    @precondition(lambda self: self.payments)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.payments) - 1))
        old = self.payments[place]
        choices = sorted(PAYMENT[old.status])
        if choices:
            status = PaymentStatus(data.draw(st.sampled_from(choices)))
            self.payments[place] = PaymentFacts(
                old.value, status, old.held, old.reason, old.block_time
            )

    @rule(minutes=st.integers(0, 20))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def cancel(self) -> None:
        self.facts = InvoiceFacts(100, 2, self.facts.expires_at, True, False)

    @invariant()
    def says_what_is_there(self) -> None:
        """The status is what the money says, whatever the order; each edge is in the machine."""
        status = evaluate(self.facts, self.payments, self.now).status
        on_chain = {PaymentStatus.DETECTED, PaymentStatus.CONFIRMING, PaymentStatus.CONFIRMED}
        final = sum(p.value for p in self.payments if p.status is PaymentStatus.CONFIRMED)
        seen = sum(p.value for p in self.payments if p.status in on_chain)
        assert (status is InvoiceStatus.PAID) == (final >= 98), "ship exactly what is final"
        assert (status is InvoiceStatus.PROCESSING) == (seen >= 98 > final)
        assert (status is InvoiceStatus.PARTIALLY_PAID) == (0 < seen < 98)
        shuffled = evaluate(self.facts, self.payments[::-1], self.now)
        assert shuffled.status is status
        assert status == self.before or status in INVOICE[self.before]
        self.before = status


class PayoutLife(RuleBasedStateMachine):
    """One promise through any road that its machine has: money is reserved, drawn, posted once."""

    def __init__(self) -> None:
        super().__init__()
        self.row = {
            "id": "po_1", "chain": "c", "token": "T", "merchant_id": "m", "amount": 70,
            "status": PayoutStatus.QUEUED.value, "attempt": 0,
        }  # fmt: skip
        self.totals: dict[str, Totals] = {
            "merchant": Totals(credits_posted=100), "treasury": Totals(debits_posted=100),
            "payouts": Totals(),
        }  # fmt: skip
        self.open: dict[str, Transfer] = {}
        self._begin(_reserve(self.row))

    def _begin(self, transfer: Transfer) -> None:
        self._move(transfer, "pending")
        assert transfer.key not in self.open, "a key was used twice"
        self.open[transfer.key] = transfer

    def _move(self, transfer: Transfer, kind: str) -> None:
        for ref, side in ((transfer.debit, debited), (transfer.credit, credited)):
            name = str(ref.kind)
            self.totals[name] = side(self.totals[name], kind, transfer.amount)  # type: ignore[arg-type]

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        before = self.row["status"]
        # Back from paid is a reorg below the final block: an operator's case, not a step of this.
        choices = sorted(PAYOUT[before] - {"pending_approval"}) if before != "paid" else []
        if not choices:
            return
        after = PayoutStatus(data.draw(st.sampled_from(choices)))
        if after is PayoutStatus.BATCHED:
            self.row = {**self.row, "status": after.value, "attempt": self.row["attempt"] + 1}
            self._begin(draw_of(self.row))
            return
        for second in _postings(PayoutMove(self.row, after)):
            first = self.open.pop(second.pending_key)  # type: ignore[union-attr]
            self._move(first, second.kind)
        self.row = {**self.row, "status": after.value}

    @invariant()
    def holds_exactly_what_it_promises(self) -> None:
        status = self.row["status"]
        paid, over = status == "paid", status in ("canceled", "failed")
        drawn = status in ("batched", "submitted")
        kinds = {ref.kind.value: ref.kind for t in [_reserve(self.row), draw_of(self.row)]
                 for ref in (t.debit, t.credit)}  # fmt: skip
        of_merchant = available(kinds["merchant"], self.totals["merchant"])
        of_treasury = available(kinds["treasury"], self.totals["treasury"])
        assert of_merchant == (100 if over else 30)
        assert of_treasury == (30 if drawn or paid else 100)
        assert bool(self.open) == (not paid and not over)
        cleared = self.totals["payouts"]
        assert cleared.debits_posted == cleared.credits_posted == (70 if paid else 0)


class NonceLife(RuleBasedStateMachine):
    """One nonce until something of ours is mined: offers rise as nodes want, never over the cap."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.cap = 200 * GWEI
        self.offers = [Fees(10 * GWEI, GWEI)]
        self.broadcast_at = self.offered_at = START
        self.quote = FeeQuote(4 * GWEI, GWEI)
        self.statuses = [TransactionStatus.BROADCAST]

    @rule(base=st.integers(1, 500), tip=st.integers(1, 20))
    def market(self, base: int, tip: int) -> None:
        self.quote = FeeQuote(base * GWEI, tip * GWEI)

    @rule(seconds=st.integers(-40, 120))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(lowest=st.booleans(), unseen=st.booleans(), final=st.sampled_from([None, 6, 7, 8]))
    def look(self, lowest: bool, unseen: bool, final: int | None) -> None:
        pending = Pending(
            7, self.offers, self.broadcast_at, final, lowest, self.offered_at, unseen=unseen
        )
        step, fees = next_step(pending, self.quote, self.cap, Patience(), self.now)
        assert (step is NonceStep.FOREIGN) == (final == 8), "only a used nonce proves another's"
        assert (fees is not None) == (step is NonceStep.BUMP)
        if fees is not None:
            old = self.offers[-1]
            assert lowest
            assert fees.max_fee >= raised(old.max_fee, 10), "nodes refuse less"
            assert fees.max_tip >= raised(old.max_tip, 10)
            assert fees.max_tip <= fees.max_fee <= self.cap
            self.offers.append(fees)
            self.broadcast_at = self.offered_at = self.now
            self.statuses.append(TransactionStatus.BROADCAST)
        elif step is NonceStep.RESEND:
            self.broadcast_at = self.now

    @rule(data=st.data())
    def mined_or_not(self, data: st.DataObject) -> None:
        """Any attempt may be mined, whichever was sent last; after a reorg another one."""
        place = data.draw(st.integers(0, len(self.statuses) - 1))
        after = data.draw(st.sampled_from(["mined", "broadcast"]))
        if after in TRANSACTION[self.statuses[place]]:
            for other, status in enumerate(self.statuses):
                if status is TransactionStatus.MINED and after == "mined":
                    assert "broadcast" in TRANSACTION[status]
                    self.statuses[other] = TransactionStatus.BROADCAST
            self.statuses[place] = TransactionStatus(after)

    @invariant()
    def one_at_most_is_mined(self) -> None:
        assert sum(s is TransactionStatus.MINED for s in self.statuses) <= 1
        assert all(
            a.max_fee < b.max_fee for a, b in zip(self.offers, self.offers[1:], strict=False)
        )


TestInvoiceLife = InvoiceLife.TestCase
TestPayoutLife = PayoutLife.TestCase
TestNonceLife = NonceLife.TestCase
TestInvoiceLife.settings = TestPayoutLife.settings = TestNonceLife.settings = BOUNDS
