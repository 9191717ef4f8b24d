"""The last table: every amount, ledger against chain, and what is wrong with it. Pure.

Three sources that know nothing of each other: the books, the chain's own
balances and logs, and the story that was played.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bursar.demo.story import Coin, Promise, Scene
from config.money import format_amount
from ledger.postings import AccountKind, AccountRef, Totals

_GOOD_PAYMENT: Final = "confirmed"


@dataclass(frozen=True, slots=True)
class Books:
    """One coin as the ledger has it, base units; ``paid`` and ``owed`` by shop."""

    received: int
    deposits: int
    treasury: int
    fees: int
    paid: tuple[int, ...]
    owed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OnChain:
    """The same coin as the chain has it: ``received`` from logs, the rest from balances."""

    received: int
    deposits: int
    treasury: int
    paid: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """An amount from both sides."""

    label: str
    ledger: int
    chain: int

    @property
    def difference(self) -> int:
        """Zero, or the ledger is wrong."""
        return self.ledger - self.chain


@dataclass(frozen=True, slots=True)
class Sheet:
    """All lines of one coin."""

    coin: Coin
    lines: tuple[Line, ...]

    @property
    def agrees(self) -> bool:
        """Whether no line differs."""
        return all(line.difference == 0 for line in self.lines)


def books_of(
    totals: Mapping[AccountRef, Totals], chain: str, coin: Coin, shops: Sequence[str]
) -> Books:
    """The books of one coin from the totals of all accounts; ``shops`` are merchant ids."""

    def of(kind: AccountKind, merchant: str = "") -> Totals:
        return totals.get(AccountRef(kind, chain, coin.symbol, merchant), Totals())

    deposits, treasury, fees = (
        of(kind) for kind in (AccountKind.DEPOSITS, AccountKind.TREASURY, AccountKind.FEES)
    )
    merchants = [of(AccountKind.MERCHANT, shop) for shop in shops]
    payouts = [of(AccountKind.PAYOUTS, shop) for shop in shops]
    return Books(
        received=deposits.debits_posted,
        deposits=deposits.debits_posted - deposits.credits_posted,
        treasury=treasury.debits_posted - treasury.credits_posted,
        fees=fees.credits_posted - fees.debits_posted,
        paid=tuple(account.debits_posted for account in payouts),
        owed=tuple(account.credits_posted - account.debits_posted for account in merchants),
    )


def sheet(coin: Coin, books: Books, chain: OnChain, shops: Sequence[str]) -> Sheet:
    """Lines in the order in which money travels.

    What the chain says about fees is what came in and did not leave, less what is still owed.
    """
    kept = chain.received - sum(chain.paid) - sum(books.owed)
    return Sheet(
        coin,
        (
            Line("received", books.received, chain.received),
            Line("not swept yet", books.deposits, chain.deposits),
            Line("in the treasury", books.treasury, chain.treasury),
            *(
                Line(f"paid to {shop}", in_books, on_chain)
                for shop, in_books, on_chain in zip(shops, books.paid, chain.paid, strict=True)
            ),
            Line("kept as fees", books.fees, kept),
        ),
    )


def exact(amount: int, decimals: int) -> str:
    """All decimals that the token has, so that a column lines up and a unit is seen."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(amount, 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}"


def differences(sheets: Sequence[Sheet]) -> list[str]:
    """Each line on which ledger and chain disagree."""
    return [
        f"{one.coin.symbol} {line.label}: "
        f"{format_amount(line.ledger, one.coin.decimals)} in the ledger, "
        f"{format_amount(line.chain, one.coin.decimals)} on the chain"
        for one in sheets
        for line in one.lines
        if line.difference
    ]


def broken_promises(
    coin: Coin, promised: Promise, books: Books, chain: OnChain, shops: Sequence[str]
) -> list[str]:
    """Where books or chain are not what the story says, even if they agree with each other."""
    wanted = [
        ("received", promised.received, chain.received),
        ("fees", promised.fees, books.fees),
        *(
            (f"paid to {shop}", due, got)
            for shop, due, got in zip(shops, promised.paid, chain.paid, strict=True)
        ),
        *((f"still owed to {shop}", 0, owed) for shop, owed in zip(shops, books.owed, strict=True)),
    ]
    return [
        f"{coin.symbol} {label}: {format_amount(got, coin.decimals)} "
        f"instead of {format_amount(due, coin.decimals)}"
        for label, due, got in wanted
        if due != got
    ]


def wrong_ending(scene: Scene, invoice: Mapping[str, Any]) -> list[str]:
    """How an invoice differs from what its scene asks for; empty if it does not."""
    payments = invoice["payments"]
    credited = sorted(p["amount"] for p in payments if p["status"] == _GOOD_PAYMENT)
    ignored = sorted(str(p["reason"]) for p in payments if p["status"] == "ignored")
    others = sorted(p["status"] for p in payments if p["status"] not in (_GOOD_PAYMENT, "ignored"))
    decimals = next(o["decimals"] for o in invoice["options"] if o["token"] == scene.coin)
    settlement = "paid" if scene.pays else "none"
    expected: list[tuple[str, object, object]] = [
        ("status", scene.status, invoice["status"]),
        ("exceptions", list(scene.exceptions), invoice["exceptions"]),
        ("credited", sorted(format_amount(units, decimals) for units in scene.units), credited),
        ("ignored", [scene.ignored] if scene.ignored else [], ignored),
        ("unfinished payments", [], others),
        ("settlement", settlement, invoice["settlement"]["status"]),
    ]
    return [
        f"invoice “{scene.title}”: {label} is {got}, not {due}"
        for label, due, got in expected
        if due != got
    ]


def wrong_payouts(payouts: Sequence[Mapping[str, Any]], coins: Sequence[Coin]) -> list[str]:
    """Payouts that were not paid, and coins whose shops were not paid in one batch."""
    found = [
        f"payout {payout['id']}: {payout['status']} ({payout['reason'] or 'no reason'}), not paid"
        for payout in payouts
        if payout["status"] != "paid"
    ]
    for coin in coins:
        mine = [payout for payout in payouts if payout["token"] == coin.symbol]
        batches = {payout["batch"] for payout in mine}
        if len(batches) != 1 or len(mine) != 2:
            found.append(
                f"{coin.symbol}: {len(mine)} payouts in {len(batches)} batches, not 2 in 1"
            )
    return found


def missing_webhooks(
    received: Mapping[str, int], least: Mapping[str, int], refused: int
) -> list[str]:
    """Event types of which fewer arrived than happened, and any signature that was wrong."""
    found = [
        f"webhook {kind}: {received.get(kind, 0)} delivered, at least {count} expected"
        for kind, count in least.items()
        if received.get(kind, 0) < count
    ]
    if refused:
        found.append(f"{refused} webhooks whose signature does not verify")
    return found
