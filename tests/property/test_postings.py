"""Double entry under any sequence of transfers: sums agree, guards hold."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.postings import (
    DEBIT_NORMAL,
    GUARDED,
    AccountKind,
    AccountRef,
    InsufficientFundsError,
    Totals,
    TransferKind,
    available,
    balance,
    check_guard,
    credited,
    debited,
)

ACCOUNTS = [
    AccountRef(kind, "anvil", "USDC")
    for kind in (
        AccountKind.DEPOSITS,
        AccountKind.TREASURY,
        AccountKind.MERCHANT,
        AccountKind.PAYOUTS,
        AccountKind.FEES,
    )
]
pairs = st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS)).filter(
    lambda pair: pair[0] != pair[1]
)


class BooksMachine(RuleBasedStateMachine):
    """Any transfers between any accounts, refused where a guard says so."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = {ref: Totals() for ref in ACCOUNTS}
        self.pending: list[tuple[AccountRef, AccountRef, int]] = []

    def _apply(
        self, debit: AccountRef, credit: AccountRef, kind: TransferKind, amount: int
    ) -> bool:
        after = dict(self.totals)
        after[debit] = debited(after[debit], kind, amount)
        after[credit] = credited(after[credit], kind, amount)
        try:
            check_guard(debit, after[debit])
            check_guard(credit, after[credit])
        except InsufficientFundsError:
            return False
        self.totals = after
        return True

    @rule(pair=pairs, amount=st.integers(1, 2**200))
    def posted(self, pair: tuple[AccountRef, AccountRef], amount: int) -> None:
        self._apply(*pair, "posted", amount)

    @rule(pair=pairs, amount=st.integers(1, 2**200))
    def pend(self, pair: tuple[AccountRef, AccountRef], amount: int) -> None:
        if self._apply(*pair, "pending", amount):
            self.pending.append((*pair, amount))

    @rule(data=st.data(), kind=st.sampled_from(["post", "void"]))
    def resolve(self, data: st.DataObject, kind: TransferKind) -> None:
        if self.pending:
            index = data.draw(st.integers(0, len(self.pending) - 1))
            debit, credit, amount = self.pending[index]
            if self._apply(debit, credit, kind, amount):
                self.pending.pop(index)

    @invariant()
    def sums_to_zero(self) -> None:
        net = sum(
            balance(ref.kind, t) * (1 if ref.kind in DEBIT_NORMAL else -1)
            for ref, t in self.totals.items()
        )
        assert net == 0

    @invariant()
    def pending_sides_agree(self) -> None:
        open_amount = sum(amount for _, _, amount in self.pending)
        assert sum(t.debits_pending for t in self.totals.values()) == open_amount
        assert sum(t.credits_pending for t in self.totals.values()) == open_amount

    @invariant()
    def guarded_never_below_zero(self) -> None:
        for ref, totals in self.totals.items():
            if ref.kind in GUARDED:
                assert available(ref.kind, totals) >= 0


TestBooks = BooksMachine.TestCase
