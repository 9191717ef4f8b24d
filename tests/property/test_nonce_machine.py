"""One nonce against any market, mempool and clock: what is offered, and what is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chain.model import FeeQuote
from settlement.fees import Fees, initial
from settlement.verdicts import NonceStep, Patience, Pending, next_step

GWEI = 10**9
CAP = 200 * GWEI
PATIENCE = Patience()
prices = st.builds(FeeQuote, st.integers(0, 400 * GWEI), st.integers(0, 20 * GWEI))


class NonceMachine(RuleBasedStateMachine):
    """A transaction that is not mined: helped along, never given up, never outbidding the cap."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.offers: list[Fees] = []
        self.sent_at = self.now
        self.offered_at = self.now
        self.quote = FeeQuote(GWEI, GWEI)
        self.taken_by_others = False
        self.steps: list[NonceStep] = []

    @initialize(quote=prices)
    def first(self, quote: FeeQuote) -> None:
        offer = initial(quote, CAP)
        self.quote = quote
        if offer is None:
            assert quote.base_fee + quote.tip > CAP, "waits only when the cap forbids the price"
            offer = Fees(GWEI, GWEI)
        self.offers = [offer]

    @rule(quote=prices)
    def market_moves(self, quote: FeeQuote) -> None:
        self.quote = quote

    @rule(seconds=st.integers(-60, 600))
    def clock_moves(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: len(self.steps) > 25)
    @rule()
    def nonce_used_for_good_by_another(self) -> None:
        self.taken_by_others = True

    @precondition(lambda self: self.offers)
    @rule(lowest=st.booleans(), unseen=st.booleans())
    def look(self, lowest: bool, unseen: bool) -> None:
        pending = Pending(
            nonce=7,
            offers=self.offers,
            broadcast_at=self.sent_at,
            final_nonce=8 if self.taken_by_others else 7,
            is_lowest=lowest,
            offered_at=self.offered_at,
            unseen=unseen,
        )
        step, fees = next_step(pending, self.quote, CAP, PATIENCE, self.now)
        self.steps.append(step)
        assert (step is NonceStep.FOREIGN) == self.taken_by_others, "only a final nonce proves it"
        assert (fees is not None) == (step is NonceStep.BUMP)
        if fees is not None:
            assert lowest, "a later nonce holds up nobody"
            self._replaced(fees)
        if step is NonceStep.RESEND:
            assert self.now - self.sent_at >= PATIENCE.look_after
            self.sent_at = self.now

    def _replaced(self, fees: Fees) -> None:
        before = self.offers[-1]
        # What nodes require of a replacement: ten percent on both, integers rounded up.
        assert fees.max_fee * 10 >= before.max_fee * 11
        assert fees.max_tip * 10 >= before.max_tip * 11
        assert self.now - self.offered_at >= PATIENCE.look_after
        self.offers.append(fees)
        self.sent_at = self.offered_at = self.now

    @invariant()
    def never_over_the_cap(self) -> None:
        assert all(o.max_fee <= CAP and o.max_tip <= CAP for o in self.offers[1:])
        assert all(o.max_tip <= o.max_fee for o in self.offers)


TestNonce = NonceMachine.TestCase
TestNonce.settings = settings(max_examples=300, deadline=None)
