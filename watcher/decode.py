"""Raw Transfer log → what it says, or that it is none (EIP-20)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from chain.model import TRANSFER_TOPIC, BlockHeader, Log
from config.units import Address, Amount
from ledger.payment_rules import Sighting

_PADDING: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Parts of a Transfer log; ``malformed``: not what an ERC-20 token emits."""

    token: Address
    sender: Address
    recipient: Address
    amount: Amount
    malformed: bool


def decode_transfer(log: Log) -> Transfer | None:
    """The parts; ``None`` where no recipient can be told (another event, fewer than three topics).

    Malformed: a fourth topic (ERC-721 has the same signature), data of another
    length than 32 bytes, or bits above the 20 bytes of an address. Such a log
    is never money, whatever it says.
    """
    if len(log.topics) < 3 or log.topics[0] != TRANSFER_TOPIC:
        return None
    sender, recipient = log.topics[1], log.topics[2]
    malformed = (
        len(log.topics) != 3
        or len(log.data) != 32
        or sender[:12] != _PADDING
        or recipient[:12] != _PADDING
    )
    return Transfer(
        token=log.address,
        sender=Address(sender[12:]),
        recipient=Address(recipient[12:]),
        amount=Amount(int.from_bytes(log.data)) if len(log.data) == 32 else Amount(0),
        malformed=malformed,
    )


def to_sighting(chain: str, log: Log, parts: Transfer, ordinal: int, seconds: int) -> Sighting:
    """What the books take. ``seconds``: the block's timestamp, Unix time."""
    return Sighting(
        chain=chain,
        token_address=parts.token,
        sender=parts.sender,
        recipient=parts.recipient,
        amount=parts.amount,
        tx_hash=log.tx_hash,
        ordinal=ordinal,
        log_index=log.log_index,
        block_number=log.block_number,
        block_hash=log.block_hash,
        block_time=block_time(seconds),
        malformed=parts.malformed,
    )


def block_time(seconds: int) -> datetime:
    """A block's timestamp as aware UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def header_time(header: BlockHeader) -> datetime:
    """When the block was made, by its own account."""
    return block_time(header.timestamp)
