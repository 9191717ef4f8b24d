"""Double entry, the pure part: accounts, transfers, and what a transfer does to totals.

The model is TigerBeetle's: an account has four totals, a transfer moves one
amount from a debit to a credit account, in one step (*posted*) or in two
(*pending*, then *post* or *void*). Nothing is edited; corrections are new
transfers. Since every transfer debits what it credits, all postings of a
(chain, token) sum to zero by construction.

Accounts of a (chain, token)::

    debit-normal (what we have)        credit-normal (whom it belongs to)
    deposits    at deposit addresses   merchant   available; pending credits = *pending*,
    treasury    in the treasury                   pending debits = *reserved*
                pending credits =      payouts    cleared through payouts; debits = *paid*
                in flight              held       held for a merchant until resolved
    receivable  owed by a merchant     fees       earned
    suspense_out unexplained outflow   suspense_in unexplained inflow
    token_loss  written off            owner      put in by the owner
    sponsors    native coin for gas    gas (debit-normal) spent
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

from config.errors import ConflictError


class AccountKind(StrEnum):
    """The closed list of accounts."""

    DEPOSITS = "deposits"
    TREASURY = "treasury"
    RECEIVABLE = "receivable"
    SUSPENSE_OUT = "suspense_out"
    TOKEN_LOSS = "token_loss"  # noqa: S105
    SPONSORS = "sponsors"
    GAS = "gas"
    MERCHANT = "merchant"
    PAYOUTS = "payouts"
    HELD = "held"
    FEES = "fees"
    SUSPENSE_IN = "suspense_in"
    OWNER = "owner"


DEBIT_NORMAL: Final = frozenset(
    {
        AccountKind.DEPOSITS,
        AccountKind.TREASURY,
        AccountKind.RECEIVABLE,
        AccountKind.SUSPENSE_OUT,
        AccountKind.TOKEN_LOSS,
        AccountKind.SPONSORS,
        AccountKind.GAS,
    }
)
GUARDED: Final = frozenset({AccountKind.TREASURY, AccountKind.MERCHANT, AccountKind.HELD})
"""Never drawn below zero, outflows still pending included."""


class InsufficientFundsError(ConflictError):
    """A guarded account does not hold what a transfer would take from it."""


class AccountRef(Struct, frozen=True):
    """Identity of an account; ``merchant_id`` is empty for the house's own."""

    kind: AccountKind
    chain: str
    token: str
    merchant_id: str = ""

    def __str__(self) -> str:
        owner = f" of {self.merchant_id}" if self.merchant_id else ""
        return f"{self.kind}{owner} ({self.token} on {self.chain})"


class Totals(Struct, frozen=True):
    """The four sums of an account, base units."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


TransferKind = Literal["posted", "pending", "post", "void"]


class Transfer(Struct, frozen=True):
    """A one-step transfer, or the first step of two.

    :param key: makes repeating it a no-op; unique for ever.
    :param object_id: the payment, payout or batch that it tells of.
    """

    key: str
    debit: AccountRef
    credit: AccountRef
    amount: int
    reason: str
    object_id: str
    kind: Literal["posted", "pending"] = "posted"


class Resolution(Struct, frozen=True):
    """The second step: posts or voids the pending transfer of ``pending_key``, whole."""

    key: str
    pending_key: str
    kind: Literal["post", "void"]
    reason: str
    object_id: str


Posting = Transfer | Resolution


def debited(totals: Totals, kind: TransferKind, amount: int) -> Totals:
    """Totals of the debit account after a transfer of this kind."""
    pending, posted = _moved(totals.debits_pending, totals.debits_posted, kind, amount)
    return Totals(pending, posted, totals.credits_pending, totals.credits_posted)


def credited(totals: Totals, kind: TransferKind, amount: int) -> Totals:
    """Totals of the credit account after a transfer of this kind."""
    pending, posted = _moved(totals.credits_pending, totals.credits_posted, kind, amount)
    return Totals(totals.debits_pending, totals.debits_posted, pending, posted)


def _moved(pending: int, posted: int, kind: TransferKind, amount: int) -> tuple[int, int]:
    match kind:
        case "posted":
            return pending, posted + amount
        case "pending":
            return pending + amount, posted
        case "post":
            pending, posted = pending - amount, posted + amount
        case "void":
            pending = pending - amount
    assert pending >= 0, "a pending transfer was resolved twice"
    return pending, posted


def balance(kind: AccountKind, totals: Totals) -> int:
    """Posted balance in the account's normal direction; may be negative."""
    net = totals.debits_posted - totals.credits_posted
    return net if kind in DEBIT_NORMAL else -net


def available(kind: AccountKind, totals: Totals) -> int:
    """What may be drawn: the balance less outflows still pending."""
    outflow = totals.credits_pending if kind in DEBIT_NORMAL else totals.debits_pending
    return balance(kind, totals) - outflow


def check_guard(account: AccountRef, totals: Totals) -> None:
    """Refuse totals that draw a guarded account below zero.

    :raises InsufficientFundsError: naming the account and what is missing.
    """
    if account.kind in GUARDED and available(account.kind, totals) < 0:
        missing = -available(account.kind, totals)
        raise InsufficientFundsError(
            f"{missing} base units are missing",
            where=str(account),
            remedy="wait for more to settle",
        )
