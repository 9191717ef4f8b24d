"""Payouts through their states with their postings: money is where the states say."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.payouts import PayoutMove, draw_of, merchant_account, postings_of, reserve_of
from ledger.postings import (
    AccountKind,
    AccountRef,
    InsufficientFundsError,
    Posting,
    Totals,
    Transfer,
    available,
    balance,
    check_guard,
    credited,
    debited,
)
from ledger.states import PAYOUT, PayoutStatus

DEPOSITS = AccountRef(AccountKind.DEPOSITS, "anvil", "USDC")
TREASURY = AccountRef(AccountKind.TREASURY, "anvil", "USDC")
OWED = {"pending_approval", "queued", "on_hold", "batched", "submitted"}
DRAWN = {"batched", "submitted"}


class PayoutMachine(RuleBasedStateMachine):
    """Income, sweeps and payouts that take any step which their machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[AccountRef, Totals] = defaultdict(Totals)
        self.pending: dict[str, Transfer] = {}
        self.payouts: list[dict[str, Any]] = []
        self.income = self.swept = 0

    def _post(self, steps: list[Posting]) -> bool:
        after, pending = dict(self.totals), dict(self.pending)
        for step in steps:
            if isinstance(step, Transfer):
                moved, kind = step, step.kind
                if kind == "pending":
                    assert step.key not in pending, "a key is used once"
                    pending[step.key] = step
            else:
                moved, kind = pending.pop(step.pending_key), step.kind
            for ref, turn in ((moved.debit, debited), (moved.credit, credited)):
                after[ref] = turn(after.get(ref, Totals()), kind, moved.amount)
        try:
            for ref, totals in after.items():
                check_guard(ref, totals)
        except InsufficientFundsError:
            return False
        self.totals, self.pending = defaultdict(Totals, after), pending
        return True

    @rule(amount=st.integers(1, 100))
    def confirmed(self, amount: int) -> None:
        merchant = merchant_account({"chain": "anvil", "token": "USDC", "merchant_id": "mer_1"})
        self.income += amount
        self._post([Transfer(f"in:{self.income}", DEPOSITS, merchant, amount, "payment", "pay")])

    @rule()
    def sweep(self) -> None:
        amount = balance(AccountKind.DEPOSITS, self.totals[DEPOSITS])
        if amount:
            self.swept += amount
            self._post([Transfer(f"sw:{self.swept}", TREASURY, DEPOSITS, amount, "sweep", "b")])

    @rule(amount=st.integers(1, 100), start=st.sampled_from(["queued", "pending_approval"]))
    def promise(self, amount: int, start: str) -> None:
        row = {
            "id": f"po_{len(self.payouts)}", "chain": "anvil", "token": "USDC",
            "merchant_id": "mer_1", "amount": amount, "attempt": 0, "status": start,
        }  # fmt: skip
        if self._post([reserve_of(row)]):
            self.payouts.append(row)

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        movable = [p for p in self.payouts if PAYOUT[p["status"]] and p["status"] != "paid"]
        if not movable:
            return
        row = data.draw(st.sampled_from(movable))
        to = PayoutStatus(data.draw(st.sampled_from(sorted(PAYOUT[row["status"]]))))
        if to is PayoutStatus.BATCHED:
            placed = {**row, "attempt": row["attempt"] + 1, "status": to.value}
            if self._post([draw_of(placed)]):
                row.update(placed)
        elif self._post(postings_of(PayoutMove(row, to))):
            row["status"] = to.value

    @invariant()
    def merchant_has_what_was_neither_promised_nor_paid(self) -> None:
        merchant = merchant_account({"chain": "anvil", "token": "USDC", "merchant_id": "mer_1"})
        owed = sum(p["amount"] for p in self.payouts if p["status"] in OWED | {"paid"})
        assert available(AccountKind.MERCHANT, self.totals[merchant]) == self.income - owed >= 0

    @invariant()
    def treasury_has_what_was_swept_and_not_drawn(self) -> None:
        gone = sum(p["amount"] for p in self.payouts if p["status"] in DRAWN | {"paid"})
        assert available(AccountKind.TREASURY, self.totals[TREASURY]) == self.swept - gone >= 0

    @invariant()
    def nothing_stays_pending_for_what_is_over(self) -> None:
        wanted = {f"{p['id']}:reserve" for p in self.payouts if p["status"] in OWED} | {
            f"{p['id']}:{p['attempt']}:draw" for p in self.payouts if p["status"] in DRAWN
        }
        assert set(self.pending) == wanted


TestPayouts = PayoutMachine.TestCase
