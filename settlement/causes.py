"""Which transactions make ledger and chain differ: transfers that the books do not know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from chain.client import ChainClient
from chain.model import TRANSFER_TOPIC, Log
from chain.rpc.errors import RpcError
from config.catalogue import Token
from config.clock import Clock
from config.money import format_amount
from config.units import Address, Hash32, checksum, to_hex
from ledger.comparisons import booked_hashes
from ledger.schema import payments
from ledger.sql import chunked
from ledger.store import Ledger
from settlement.logs import SPAN, logs_between
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
    once an hour, since it may last until a person comes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
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
        if known and known.difference != suspects.difference:
            known = None
        if known and known.looks >= _SURE_AFTER and now - known.at < AGAIN_AFTER:
            return known.lines
        lines, whole = await _causes(client, ledger, suspects, first, last)
        if whole:
            looks = 1 if known is None else known.looks + 1
            self._known[place] = _Found(suspects.difference, now, lines, looks)
        return lines

    def agrees(self, account: str, token: str) -> None:
        """Whatever differs next has another cause, though it may be as much."""
        self._known.pop((account, token), None)


@dataclass(frozen=True, slots=True)
class _Found:
    difference: int
    at: float
    lines: Sequence[str]
    looks: int


async def _causes(
    client: ChainClient, ledger: Ledger, suspects: Suspects, first: int, last: int
) -> tuple[list[str], bool]:
    """Lines, and whether all that there is to read was read."""
    begin = max(first, last - REACH)
    name = f"{suspects.account} {suspects.token.symbol}"
    unknown = without_cause(suspects.account, suspects.token.symbol, suspects.difference)
    if not 0 < len(suspects.addresses) <= MOST_ADDRESSES:
        return [f"{unknown}: {len(suspects.addresses)} addresses are too many to search"], True
    found, unread = await _readable(client, suspects, begin, last)
    strange = await _unknown(ledger, found)
    lines = [_line(name, suspects, log) for log in strange[:MOST_NAMED]]
    if len(strange) > MOST_NAMED:
        lines.append(f"{name}: {len(strange) - MOST_NAMED} more transfers that are not booked")
    if unread is not None:
        lines.append(f"{name}: {suspects.difference} base units differ, and {unread}")
    return lines or [f"{unknown} in blocks {begin} to {last}"], unread is None


async def _readable(
    client: ChainClient, suspects: Suspects, first: int, last: int
) -> tuple[list[Log], str | None]:
    """Transfers of the whole range, else of its newest part, and what could not be read."""
    why = None
    for begin in dict.fromkeys((first, max(first, last - SPAN + 1))):
        try:
            return await _transfers(client, suspects, begin, last), why
        except RpcError as error:
            why = f"not all transfers of blocks {first} to {last} can be read: {error}"
    return [], why


def without_cause(account: str, token: str, difference: int) -> str:
    """How the line begins that says so. Pure."""
    return f"{account} {token}: {difference} base units without a known cause"


async def _transfers(client: ChainClient, suspects: Suspects, first: int, last: int) -> list[Log]:
    words = tuple(address.rjust(32, b"\0") for address in suspects.addresses)
    found: dict[tuple[Hash32, int], Log] = {}
    for topics in ((TRANSFER_TOPIC, words), (TRANSFER_TOPIC, None, words)):
        for log in await logs_between(client, first, last, [suspects.token.address], topics):
            if transfers_in([log]):
                found[log.tx_hash, log.log_index] = log
    return sorted(found.values(), key=lambda log: (log.block_number, log.log_index))


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
