"""What a payer is told, as a pure function of the invoice and the time.

The page is public: whoever has the link sees it. So it shows what is needed to
pay and nothing of the merchant's (no metadata, reference, fees or settlement).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

Tone = Literal["open", "waiting", "good", "warn", "closed"]


@dataclass(frozen=True, slots=True)
class WayToPay:
    """One chain and token; ``amount`` is what is still due in it."""

    chain: str
    token: str
    token_address: str
    amount: str
    uri: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A payment as the payer may want to recognise it."""

    amount: str
    token: str
    chain: str
    tx_hash: str
    note: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """Everything that the template shows.

    :param payable: whether ways to pay are offered.
    :param back: where the merchant wants the payer to go on.
    """

    id: str
    tone: Tone
    headline: str
    text: str
    notes: tuple[str, ...]
    amount: str
    currency: str
    address: str
    payable: bool
    ways: tuple[WayToPay, ...]
    seen: tuple[Seen, ...]
    expires_at: str
    settled: bool
    back: str | None


_NOTES: Final = {
    "overpaid": "More than the amount due has arrived. Ask the merchant for the rest.",
    "late": "A payment arrived after the deadline.",
    "wrong_token": "A payment came in a token that this invoice does not accept.",
    "wrong_chain": "A payment came on a network that this invoice does not accept.",
    "native_coin": "The network's own coin was sent; this invoice takes tokens only.",
    "reversed": "A payment was undone by the network. It may be included again.",
    "held": "A payment is being looked at by the merchant.",
}
_WORDS: Final[Mapping[str, tuple[Tone, str, str]]] = {
    "new": ("open", "Awaiting payment", "Choose how to pay and send the exact amount."),
    "partially_paid": ("open", "Partly paid", "Thank you. Please send what is still due."),
    "underpaid": (
        "warn",
        "Not fully paid in time",
        "Part of the amount arrived before the deadline. Please contact the merchant.",
    ),
    "processing": (
        "waiting",
        "Payment received",
        "It is being confirmed by the network. You may close this page.",
    ),
    "paid": ("good", "Paid", "The payment is confirmed. Thank you."),
    "expired": (
        "closed",
        "Expired",
        "The time to pay has passed. Please do not send anything; ask for a new invoice.",
    ),
    "canceled": (
        "closed",
        "Canceled",
        "The merchant canceled this invoice. Please do not send anything.",
    ),
    "canceled_in_part": (
        "closed",
        "Canceled",
        "The merchant canceled this invoice. Please do not send any more, and ask the merchant "
        "about what you have sent.",
    ),
    "invalid": (
        "closed",
        "Not payable",
        "Please contact the merchant, and do not send anything.",
    ),
}
_SHOWN: Final = ("detected", "confirming", "confirmed")


def checkout_of(invoice: Mapping[str, Any], now: datetime, *, canceled: bool = False) -> Checkout:
    """The page's content; ``invoice`` as its GET gives it.

    :param canceled: whatever has come before.
    """
    status, exceptions = str(invoice["status"]), list(invoice["exceptions"])
    past = now > datetime.fromisoformat(invoice["expires_at"])
    if status == "new" and past:
        status = "expired"
    if status == "partially_paid" and (canceled or past):
        status = "canceled_in_part" if canceled else "underpaid"
    tone, headline, text = _WORDS[status]
    payable = status in {"new", "partially_paid"}
    return Checkout(
        id=invoice["id"],
        tone=tone,
        headline=headline,
        text=text,
        notes=tuple(_NOTES[name] for name in exceptions if name in _NOTES),
        amount=invoice["amount"],
        currency=invoice["currency"],
        address=invoice["address"],
        payable=payable,
        ways=tuple(_way(option) for option in invoice["options"]) if payable else (),
        seen=_seen(invoice["payments"]),
        expires_at=invoice["expires_at"],
        # What is canceled may be paid all the same, and its payer wants to see that it came.
        settled=status in {"paid", "invalid"},
        back=invoice["redirect_url"],
    )


def _way(option: Mapping[str, Any]) -> WayToPay:
    return WayToPay(
        chain=option["chain"],
        token=option["token"],
        token_address=option["token_address"],
        amount=option["amount_due"],
        uri=option["uri"],
    )


def _seen(payments: Sequence[Mapping[str, Any]]) -> tuple[Seen, ...]:
    return tuple(
        Seen(
            amount=p["amount"],
            token=p["token"] or "unknown token",
            chain=p["chain"],
            tx_hash=p["tx_hash"],
            note=_note(p),
        )
        for p in payments
        if p["status"] in _SHOWN
    )


def _note(payment: Mapping[str, Any]) -> str:
    if payment["held"]:
        return "being looked at"
    if payment["status"] == "confirmed":
        return "confirmed"
    count = int(payment["confirmations"])
    return f"{count} confirmation{'' if count == 1 else 's'} so far"
