"""What a chain says, as values: headers, logs, receipts, calls and fees.

Hashes and addresses are raw bytes, quantities are exact integers, times are
block timestamps in whole seconds. Nothing here knows JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from config.units import Address, BlockNumber, Hash32

TRANSFER_TOPIC: Final = Hash32(
    bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
)
"""``keccak("Transfer(address,address,uint256)")``, topic 0 of an ERC-20 transfer (EIP-20)."""

BlockTag = Literal["latest", "safe", "finalized", "pending", "earliest"]
BlockRef = int | BlockTag | Hash32
"""A height, a tag, or a block hash (EIP-1898)."""


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """The part of a header that the watcher links, tests and stores."""

    number: BlockNumber
    hash: Hash32
    parent_hash: Hash32
    timestamp: int
    """Seconds since the epoch."""
    logs_bloom: bytes
    """256 bytes."""
    base_fee_per_gas: int | None
    """Wei; ``None`` before London or where the chain has none."""
    gas_limit: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event. ``log_index`` counts within the block, not within the receipt."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: BlockNumber
    block_hash: Hash32
    tx_hash: Hash32
    tx_index: int
    log_index: int
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction. ``logs`` are in order: their position is the ordinal."""

    tx_hash: Hash32
    block_hash: Hash32
    block_number: BlockNumber
    tx_index: int
    status: int
    """1 succeeded, 0 reverted (EIP-658)."""
    gas_used: int
    effective_gas_price: int
    """Wei per gas."""
    l1_fee: int
    """Wei paid for data availability on OP-stack chains (``l1Fee``); 0 elsewhere."""
    sender: Address
    to: Address | None
    contract_address: Address | None
    logs: tuple[Log, ...]
    operator_fee: int = 0
    """Wei for the operator of an OP-stack chain (:func:`chain.op_stack.operator_fee`)."""

    @property
    def fee(self) -> int:
        """Wei that the sender paid in all."""
        return self.gas_used * self.effective_gas_price + self.l1_fee + self.operator_fee


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signed EIP-7702 tuple, as simulated calls take it."""

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int


@dataclass(frozen=True, slots=True)
class TxRequest:
    """A call to simulate or estimate. ``to=None`` creates a contract."""

    sender: Address | None
    to: Address | None
    data: bytes
    value: int = 0
    gas: int | None = None
    access_list: tuple[tuple[Address, tuple[Hash32, ...]], ...] = ()
    authorization_list: tuple[Authorization, ...] = ()
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """What the next block asks, in wei per gas."""

    base_fee: int
    tip: int
