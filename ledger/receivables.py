"""What merchants owe for payments that were taken back after their payout.

A debt is recovered in this order: the merchant's payouts that were not sent yet are
cancelled, then what is available repays, new income first of all. Writing it off is an
operator's posting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from config.errors import ConflictError, InvalidInputError
from ledger.books import locked_totals, post, totals_of
from ledger.bulk import execute
from ledger.decisions import record_decision
from ledger.payouts import PayoutMove, move_payouts, unsent_payouts
from ledger.postings import AccountKind, AccountRef, Totals, Transfer, available, balance
from ledger.schema import accounts
from ledger.states import PayoutStatus
from ledger.store import Tx

REVERSED: Final = "a payment was taken back by the chain"


@dataclass(frozen=True, slots=True)
class Debt:
    """Base units that a merchant owes."""

    merchant_id: str
    chain: str
    token: str
    amount: int

    @property
    def receivable(self) -> AccountRef:
        """Where the debt stands."""
        return AccountRef(AccountKind.RECEIVABLE, self.chain, self.token, self.merchant_id)

    @property
    def account(self) -> AccountRef:
        """What repays it."""
        return AccountRef(AccountKind.MERCHANT, self.chain, self.token, self.merchant_id)


async def owed_by(tx: Tx, merchant_id: str, chain: str, token: str) -> int:
    """Base units that one merchant owes."""
    debt = AccountRef(AccountKind.RECEIVABLE, chain, token, merchant_id)
    return max(balance(AccountKind.RECEIVABLE, (await totals_of(tx, [debt]))[debt]), 0)


_DEBTS: Final = (
    sa.select(accounts)
    .where(
        accounts.c.kind == sa.literal_column(f"'{AccountKind.RECEIVABLE.value}'"),
        accounts.c.debits_posted != accounts.c.credits_posted,
    )
    .order_by(accounts.c.id)
)
DEBTS_ON: Final = _DEBTS.where(accounts.c.chain == sa.bindparam("of_chain"))


async def open_debts(tx: Tx, chain: str | None = None) -> list[Debt]:
    """Everything that merchants owe, on one chain or all."""
    if chain is None:
        rows = await execute(tx, _DEBTS)
    else:
        rows = await execute(tx, DEBTS_ON, of_chain=chain)
    owed = [(row, row["debits_posted"] - row["credits_posted"]) for row in rows]
    return [Debt(r["merchant_id"], r["chain"], r["token"], debt) for r, debt in owed if debt > 0]


async def recover_debts(tx: Tx, chain: str | None = None) -> int:
    """Take back what can be: unsent payouts, then what is available; how many debts moved."""
    moved = 0
    for debt in await open_debts(tx, chain):
        moved += await _recover(tx, debt)
    return moved


async def _recover(tx: Tx, debt: Debt) -> bool:
    owed = await owed_by(tx, debt.merchant_id, debt.chain, debt.token)
    has = await _has(tx, debt.account)
    for row in await unsent_payouts(tx, debt.merchant_id, debt.chain, debt.token):
        if has >= owed:
            break
        await move_payouts(tx, [PayoutMove(row, PayoutStatus.CANCELED, reason=REVERSED)])
        has = await _has(tx, debt.account)
    # Runs and every chain's leader recover side by side: what was owed when the debts were
    # listed may have been repaid meanwhile, and no guard refuses to repay it once more.
    totals = await locked_totals(tx, [debt.account, debt.receivable])
    has = available(debt.account.kind, totals[debt.account])
    repaid = min(has, balance(debt.receivable.kind, totals[debt.receivable]))
    if repaid <= 0:
        return False
    number = totals[debt.receivable].credits_posted
    key = f"recover:{debt.chain}/{debt.token}/{debt.merchant_id}:{number}"
    await post(
        tx,
        [Transfer(key, debt.account, debt.receivable, repaid, "repaid", debt.merchant_id)],
    )
    return True


async def _has(tx: Tx, account: AccountRef) -> int:
    return available(account.kind, (await totals_of(tx, [account])).get(account, Totals()))


async def write_off(tx: Tx, debt: Debt, *, actor: str, reason: str) -> int:
    """Give a debt up, as a loss; ``debt.amount`` may be a part of it. What is still owed.

    :raises InvalidInputError: more than is owed.
    :raises ConflictError: it changed at the same moment.
    """
    account = debt.receivable
    totals = (await locked_totals(tx, [account]))[account]
    owed = balance(account.kind, totals)
    _check_part(debt.amount, owed, "owed")
    loss = AccountRef(AccountKind.TOKEN_LOSS, debt.chain, debt.token)
    key = f"writeoff:{debt.chain}/{debt.token}/{debt.merchant_id}:{totals.credits_posted}"
    made = Transfer(key, loss, account, debt.amount, "written off", debt.merchant_id)
    if not await post(tx, [made]):
        raise ConflictError("the debt changed at the same moment", remedy="look again")
    await _audit(tx, actor, "write_off", debt.merchant_id, debt.amount, key, reason)
    return owed - debt.amount


def _check_part(amount: int, whole: int, what: str) -> None:
    if not 0 < amount <= whole:
        raise InvalidInputError(f"must lie between 1 and {whole}, which is {what}", where="amount")


async def _audit(
    tx: Tx, actor: str, action: str, object_id: str | None, amount: int, key: str, reason: str
) -> None:
    detail = {"base_units": str(amount), "posting": key, "reason": reason}
    await record_decision(tx, actor, action, object_id, detail)
