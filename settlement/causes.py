"""Which transactions make ledger and chain differ: transfers that the books do not know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from chain.client import ChainClient
from chain.model import TRANSFER_TOPIC, Log
from config.catalogue import Token
from config.money import format_amount
from config.units import Address, Hash32, checksum, to_hex
from ledger.comparisons import booked_hashes
from ledger.schema import payments
from ledger.sql import chunked
from ledger.store import Ledger
from settlement.logs import logs_between
from settlement.outcome import transfers_in

REACH: Final = 50_000
"""Blocks looked back over: a difference is looked into when it appears."""
MOST_ADDRESSES: Final = 1_000
"""Values that a node takes in one topic position (geth's limit)."""
MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Suspects:
    """One account of one token that differs, and where its money lies."""

    account: str
    token: Token
    addresses: Sequence[Address]
    difference: int


async def causes(
    client: ChainClient, ledger: Ledger, suspects: Suspects, first: int, last: int
) -> list[str]:
    """A line for each transfer in or out that no booking names, else one that says so."""
    begin = max(first, last - REACH)
    name = f"{suspects.account} {suspects.token.symbol}"
    unknown = without_cause(suspects.account, suspects.token.symbol, suspects.difference)
    if not 0 < len(suspects.addresses) <= MOST_ADDRESSES:
        return [f"{unknown}: {len(suspects.addresses)} addresses are too many to search"]
    found = await _transfers(client, suspects, begin, last)
    strange = await _unknown(ledger, found)
    lines = [_line(name, suspects, log) for log in strange[:MOST_NAMED]]
    if len(strange) > MOST_NAMED:
        lines.append(f"{name}: {len(strange) - MOST_NAMED} more transfers that are not booked")
    return lines or [f"{unknown} in blocks {begin} to {last}"]


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
