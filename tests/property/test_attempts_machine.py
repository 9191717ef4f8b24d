"""The attempts on one nonce under reorgs: any of them may be mined, at most one counts."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ledger.states import TRANSACTION, TransactionStatus, check_transition

SETTLED = {TransactionStatus.FINAL, TransactionStatus.REVERTED}
OPEN = {TransactionStatus.SIGNED, TransactionStatus.BROADCAST, TransactionStatus.MINED}


class AttemptsMachine(RuleBasedStateMachine):
    """What the lane does: replace, see mined, lose to a reorg, settle for good."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = [TransactionStatus.PREPARED]
        self._move(0, TransactionStatus.SIGNED)

    def _move(self, place: int, to: TransactionStatus) -> None:
        check_transition("transactions", self.attempts[place], to)
        self.attempts[place] = to

    def _in(self, *among: TransactionStatus) -> list[int]:
        return [i for i, status in enumerate(self.attempts) if status in among]

    @precondition(lambda self: self.attempts[-1] is TransactionStatus.SIGNED)
    @rule()
    def sent(self) -> None:
        self._move(len(self.attempts) - 1, TransactionStatus.BROADCAST)

    @precondition(lambda self: set(self.attempts) == {TransactionStatus.BROADCAST})
    @rule()
    def replaced_by_a_higher_offer(self) -> None:
        self.attempts.append(TransactionStatus.PREPARED)
        self._move(len(self.attempts) - 1, TransactionStatus.SIGNED)

    @rule(data=st.data())
    def a_block_takes_one(self, data: st.DataObject) -> None:
        sent = self._in(TransactionStatus.BROADCAST)
        if sent:
            # After a reorg another version may be in: the one before goes back first.
            for other in self._in(TransactionStatus.MINED):
                self._move(other, TransactionStatus.BROADCAST)
            self._move(data.draw(st.sampled_from(sent)), TransactionStatus.MINED)

    @rule()
    def reorged_out(self) -> None:
        for place in self._in(TransactionStatus.MINED):
            self._move(place, TransactionStatus.BROADCAST)

    @rule(status=st.sampled_from(sorted(SETTLED)))
    def settled_for_good(self, status: TransactionStatus) -> None:
        for place in self._in(TransactionStatus.MINED):
            self._move(place, status)
            for other in self._in(*OPEN):
                if self.attempts[other] is TransactionStatus.SIGNED:
                    self._move(other, TransactionStatus.BROADCAST)
                self._move(other, TransactionStatus.REPLACED)

    @invariant()
    def at_most_one_is_in_a_block(self) -> None:
        assert len(self._in(TransactionStatus.MINED, *SETTLED)) <= 1

    @invariant()
    def a_settled_nonce_is_never_open_again(self) -> None:
        if self._in(*SETTLED):
            assert not self._in(*OPEN)
            assert all(not TRANSACTION[status] for status in self.attempts)


TestAttempts = AttemptsMachine.TestCase
