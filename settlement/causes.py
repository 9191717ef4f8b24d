"""Which transactions make ledger and chain differ: transfers that the books do not know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from chain.client import ChainClient
from chain.model import TRANSFER_TOPIC, Log
from chain.ranges import SPARSE
from chain.rpc.errors import RpcError
from config.catalogue import Token
from config.clock import Clock
from config.money import format_amount
from config.units import Address, Hash32, checksum, to_hex
from ledger.comparisons import booked_hashes
from ledger.schema import payments
from ledger.sql import chunked
from ledger.store import Ledger
from settlement.logs import logs_between, portion
from settlement.outcome import transfers_in

REACH: Final = 50_000
"""Blocks looked back over: a difference is looked into when it appears."""
MOST_ADDRESSES: Final = 1_000
"""Values that a node takes in one topic position (geth's limit)."""
MOST_NAMED: Final = 20
AGAIN_AFTER: Final = 3_600
"""Seconds between two looks so far back for what is still the same: each is some fifty calls."""
_SURE_AFTER: Final = 3
"""Looks at the same difference: a node may know of a balance before it shows the log."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """One account of one token that differs, and where its money lies."""

    account: str
    token: Token
    addresses: Sequence[Address]
    difference: int


class Traced:
    """What the differences of one chain were traced to: looked for anew where one has changed, and
    once an hour, since it may last until a person comes.

    :param whole: read all that there is to read in one look, however small a provider's ranges.
    """

    def __init__(self, clock: Clock, *, whole: bool = False) -> None:
        self._clock = clock
        self._whole = whole
        self._known: dict[tuple[str, str], _Found] = {}

    async def causes(
        self, client: ChainClient, ledger: Ledger, suspects: Suspects, first: int, last: int
    ) -> Sequence[str]:
        """A line for each transfer in or out that no booking names, else one that says so.

        Never raises for what the chain does not tell: that money is missing must not stay unsaid
        because a node has forgotten the logs of old blocks.
        """
        place, now = (suspects.account, suspects.token.symbol), self._clock.monotonic()
        known = self._known.get(place)
        if known is None or known.difference != suspects.difference:
            known = self._known[place] = _Found(suspects.difference)
        if known.looks >= _SURE_AFTER and now - known.at < AGAIN_AFTER:
            return known.lines
        if not 0 < len(suspects.addresses) <= MOST_ADDRESSES:
            unknown = without_cause(*place, suspects.difference)
            return [f"{unknown}: {len(suspects.addresses)} addresses are too many to search"]
        search = known.search = known.search or _Search(suspects, max(first, last - REACH), last)
        unread = await search.look(client, last)
        while self._whole and unread is None and not search.whole:
            unread = await search.look(client, last)
        if search.whole or not known.looks:  # half a look takes nothing back
            known.lines = await _lines(ledger, search, unread)
        if search.whole:
            known.looks, known.at, known.search = known.looks + 1, now, None
        return known.lines

    def agrees(self, account: str, token: str) -> None:
        """Whatever differs next has another cause, though it may be as much."""
        self._known.pop((account, token), None)


class _Search:
    """Transfers of one account in a range of blocks, read from its newest down, a portion at each
    look: payouts of all tokens wait meanwhile."""

    def __init__(self, suspects: Suspects, first: int, last: int) -> None:
        self.suspects = suspects
        self.first, self.last = first, last
        self._logs: dict[tuple[Hash32, int], Log] = {}
        self._top = max(first, last - SPARSE + 1) - 1
        self._bottom = self._top + 1
        """Blocks from here to the top were read."""

    @property
    def whole(self) -> bool:
        """Whether all blocks were read."""
        return self._bottom <= self.first and self._top >= self.last

    @property
    def transfers(self) -> list[Log]:
        """What was found, in chain order."""
        return sorted(self._logs.values(), key=lambda log: (log.block_number, log.log_index))

    async def look(self, client: ChainClient, last: int) -> str | None:
        """Read what is new, then a portion of what is older; why it could not, if it could not."""
        self.last = max(last, self.last)
        try:
            await self._read(client, self._top + 1, self.last)
            self._top = self.last
            begin = portion(client, self.first, self._bottom - 1)
            await self._read(client, begin, self._bottom - 1)
            self._bottom = begin
        except RpcError as error:
            blocks = f"blocks {self.first} to {self.last}"
            return f"not all transfers of {blocks} can be read: {error}"
        return None

    @property
    def left(self) -> str:
        """What is still to be read, in words."""
        return f"blocks {self.first} to {self._bottom - 1} are still being looked through"

    async def _read(self, client: ChainClient, first: int, last: int) -> None:
        words = tuple(address.rjust(32, b"\0") for address in self.suspects.addresses)
        token = [self.suspects.token.address]
        for topics in ((TRANSFER_TOPIC, words), (TRANSFER_TOPIC, None, words)):
            for log in await logs_between(client, first, last, token, topics):
                if transfers_in([log]):
                    self._logs[log.tx_hash, log.log_index] = log


@dataclass(slots=True)
class _Found:
    """What is known of one difference, and the search that is under way."""

    difference: int
    at: float = 0.0
    lines: Sequence[str] = ()
    looks: int = 0
    search: _Search | None = None


async def _lines(ledger: Ledger, search: _Search, unread: str | None) -> list[str]:
    suspects = search.suspects
    name = f"{suspects.account} {suspects.token.symbol}"
    strange = await _unknown(ledger, search.transfers)
    lines = [_line(name, suspects, log) for log in strange[:MOST_NAMED]]
    if len(strange) > MOST_NAMED:
        lines.append(f"{name}: {len(strange) - MOST_NAMED} more transfers that are not booked")
    if not search.whole:
        why = unread or search.left
        lines.append(f"{name}: {suspects.difference} base units differ, and {why}")
    unknown = without_cause(suspects.account, suspects.token.symbol, suspects.difference)
    return lines or [f"{unknown} in blocks {search.first} to {search.last}"]


def without_cause(account: str, token: str, difference: int) -> str:
    """How the line begins that says so. Pure."""
    return f"{account} {token}: {difference} base units without a known cause"


async def _unknown(ledger: Ledger, logs: Sequence[Log]) -> list[Log]:
    hashes = {log.tx_hash for log in logs}
    async with ledger.reading() as tx:
        booked = await booked_hashes(tx, hashes)
        for part in chunked(sorted(hashes - booked)):
            query = sa.select(payments.c.tx_hash).where(payments.c.tx_hash.in_(part))
            booked |= {Hash32(value) for value in (await tx.conn.execute(query)).scalars()}
    return [log for log in logs if log.tx_hash not in booked]


def _line(name: str, suspects: Suspects, log: Log) -> str:
    """``treasury USDC: 3.00 went out to 0x… in 0x… (block 7)``."""
    own: Collection[Address] = suspects.addresses
    sender, recipient = Address(log.topics[1][12:]), Address(log.topics[2][12:])
    amount = format_amount(int.from_bytes(log.data), suspects.token.decimals)
    way = f"went out to {checksum(recipient)}" if sender in own else f"came from {checksum(sender)}"
    return f"{name}: {amount} {way} in {to_hex(log.tx_hash)} (block {log.block_number})"
