"""What people in a simulated world know, and what the world remembers of what has happened."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.chain.transactions import Tx
from tests.simulation.hooks import Hook

FOREVER = math.inf
ListKey = tuple[str, str, bytes]
"""Chain, token and an address that the token's issuer may have on his list."""


@dataclass
class Sentence:
    """From when until when an address is to be listed, virtual seconds."""

    since: float
    """``FOREVER``: not yet; once something of ours that has to do with it is under way."""
    until: float
    seen: float = FOREVER
    """Since when it has been on the list, as far as anybody looked."""


@dataclass
class Bill:
    """An invoice as its customer knows it."""

    merchant: int
    reference: str
    micros: int
    invoice_id: str = ""
    address: bytes = b""
    created_at: float = 0.0
    options: tuple[tuple[str, str], ...] = ()
    transactions: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Merchant:
    """A merchant as the world knows it."""

    number: int
    id: str = ""
    key: str = ""
    key_id: str = ""
    """Empty: the one that he was made with."""
    url: str = ""
    hooks: dict[str, str] = field(default_factory=dict)
    """Webhook endpoints that he wants: ids by URL."""
    destinations: dict[str, bytes] = field(default_factory=dict)
    former: list[tuple[str, bytes]] = field(default_factory=list)
    """Chains and addresses at which he was paid before he moved."""

    def paid_at(self, chain: str) -> list[bytes]:
        """Every address at which he has ever wanted his money."""
        return [self.destinations[chain], *(a for c, a in self.former if c == chain)]

    def homes(self) -> list[bytes]:
        """The same, on all chains."""
        return [address for chain in self.destinations for address in self.paid_at(chain)]


@dataclass
class Refund:
    """What a merchant asked for, and what was promised."""

    merchant: int
    bill: Bill
    address: bytes
    id: str = ""
    chain: str = ""
    symbol: str = ""
    amount: int = 0
    canceled: bool = False
    """He took it back, and was told that it is."""


@dataclass(eq=False, repr=False)
class Memory:
    """All of it; it begins empty."""

    merchants: list[Merchant] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    by_address: dict[bytes, Bill] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    """Webhook endpoints by URL, as the books have or had them."""
    successors: dict[str, str] = field(default_factory=dict)
    """API keys that their merchants have replaced, and by which."""
    leaving: set[str] = field(default_factory=set)
    """API keys that are being revoked, or were."""
    revoked: dict[bytes, int] = field(default_factory=dict)
    """Hashes of revoked keys, and how much others had done with each by then."""
    executions: dict[tuple[str, int, int], tuple[bytes, list[str]]] = field(default_factory=dict)
    """Batches that ran: transaction and the payouts in them that did not fail, as the books
    had them then."""
    pending_executions: bool = False
    sent: dict[tuple[str, bytes, int], dict[bytes, Tx]] = field(default_factory=dict)
    sent_before: dict[tuple[str, bytes, int], dict[bytes, Tx]] = field(default_factory=dict)
    """What was sent before database and journal were lost: nobody knows of it any more."""
    signed_offline: int = 0
    """Indexes below it have been signed by the offline machine, if there is one."""
    forgot: bool = False
    """Whether an older database has taken the image's place."""
    without_journal: bool = False
    """Whether database and journal were both lost: from then on."""
    resolved: set[str] = field(default_factory=set)
    """Postings in suspense of which an operator has said what they were."""
    explained: set[tuple[str, bytes, int]] = field(default_factory=set)
    """Logs, by chain, transaction and index in the block, that were such an outflow."""
    forked: dict[str, int] = field(default_factory=dict)
    """By chain: the last block that both histories of a deep reorg share, until it is over."""
    repairs: set[str] = field(default_factory=set)
    """Chains whose first history will win again: operators wait for that."""
    foreign: dict[tuple[str, bytes, int], bytes] = field(default_factory=dict)
    """Transactions with a lane's key that are not the daemon's: by chain, sender and nonce."""
    taken: dict[tuple[str, bytes], list[tuple[int, str, int]]] = field(default_factory=dict)
    """By chain and transaction that a deep reorg may have lost: shop, token and amount of
    each deposit."""
    withdrawals: dict[tuple[str, bytes], tuple[int | None, str, int]] = field(default_factory=dict)
    """By chain and transaction, in which the owner took tokens out of the treasury: the shop
    that he paid by hand, if any, token and amount."""
    refunds: list[Refund] = field(default_factory=list)
    """All that was ever asked for and not refused, in that order."""
    sentences: dict[ListKey, Sentence] = field(default_factory=dict)
    """Whom issuers list, or did, but for the shops' own addresses."""
    approved: set[str] = field(default_factory=set)
    """What the second person said yes to: ids."""
    released: set[str] = field(default_factory=set)
    """Payouts on hold that an operator let go on: ids."""
    made_good: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Put into the treasury by the owner, by chain and token."""
    violations: list[str] = field(default_factory=list)
