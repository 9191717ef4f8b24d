"""What a Transfer log to one of our addresses is: pure classification.

Who gets the money, by default: a registered token that the invoice offers is
credited whatever its amount; one that it does not offer, or that comes after
``monitor_until``, is booked as *held*; everything else is recorded as
``ignored`` with its reason and never touches the books.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from config.catalogue import Token
from config.units import MAX_AMOUNT, Address, Amount, BlockNumber, Hash32

UNSUPPORTED: Final = "unsupported_token"
"""Ignored for its token alone: judged again should that be registered one day."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One Transfer log to a deposit address, as a canonical block holds it.

    :param ordinal: index of the log within its receipt; survives re-inclusion.
    :param malformed: not an ERC-20 Transfer in shape (topics, data length).
    """

    chain: str
    token_address: Address
    sender: Address
    recipient: Address
    amount: Amount
    tx_hash: Hash32
    ordinal: int
    log_index: int
    block_number: BlockNumber
    block_hash: Hash32
    block_time: datetime
    malformed: bool = False


class InvoiceTerms(Struct, frozen=True):
    """What decides about a payment to an invoice."""

    currency: str
    options: frozenset[tuple[str, str]]
    monitor_until: datetime
    dust: int
    """Micros; below it a payment is recorded, not booked."""


class Classified(Struct, frozen=True):
    """``ignored`` with a reason, or booked: ``held`` with a reason, or credited."""

    ignored: bool
    held: bool
    reason: str | None
    token: str | None
    value: int
    """Micros of the invoice's currency that count towards it."""


class Tally(Struct, frozen=True):
    """What was ignored at one address of one token for one reason.

    :param newest: (block, log index) of the newest one.
    """

    count: int = 0
    total: int = 0
    newest: tuple[int, int] = (-1, -1)

    def with_one(self, sighting: Sighting) -> Tally:
        """One more. A worthless token may claim any amounts: their sum ends at 256 bits."""
        return Tally(
            self.count + 1,
            min(self.total + sighting.amount, MAX_AMOUNT),
            max(self.newest, (sighting.block_number, sighting.log_index)),
        )

    def without(self, amount: int) -> Tally:
        """One less, which was counted; where it was counted stays known."""
        return Tally(max(self.count - 1, 0), max(self.total - amount, 0), self.newest)

    def values(self) -> dict[str, int]:
        """As columns."""
        block, index = self.newest
        return {
            "count": self.count,
            "total": self.total,
            "last_block": block,
            "last_index": index,
        }


def classify(sighting: Sighting, token: Token | None, terms: InvoiceTerms) -> Classified:
    """Verdict on one sighting; ``token`` is its registered token, or ``None``."""
    symbol = token.symbol if token is not None else None
    # What an address sends to itself was there before.
    nothing = sighting.amount == 0 or sighting.sender == sighting.recipient
    if sighting.malformed or nothing:
        return _ignored("malformed" if sighting.malformed else "zero_value", symbol)
    if token is None or token.flagged:
        return _ignored(UNSUPPORTED, symbol)
    value = token.to_micros(sighting.amount)
    if value < terms.dust:
        return _ignored("dust", symbol)
    if sighting.block_time > terms.monitor_until:
        return _held("unmatched", token)
    if (token.chain, token.symbol) not in terms.options:
        chains = {chain for chain, _ in terms.options}
        return _held("wrong_token" if token.chain in chains else "wrong_chain", token)
    return Classified(ignored=False, held=False, reason=None, token=token.symbol, value=value)


def _ignored(reason: str, symbol: str | None) -> Classified:
    return Classified(ignored=True, held=False, reason=reason, token=symbol, value=0)


def _held(reason: str, token: Token) -> Classified:
    return Classified(ignored=False, held=True, reason=reason, token=token.symbol, value=0)


def fee_of(amount: int, fee_bps: int) -> int:
    """Fee on one payment, rounded down to base units."""
    return amount * fee_bps // 10_000
