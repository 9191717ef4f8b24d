"""JSON of headers, logs and receipts to values. Pure; the hot path of the watcher.

The structs name only the fields that are used, so that msgspec skips the rest
without building it; ``gc=False`` because a row can hold no cycle, which keeps the
garbage collector out of a reply of a hundred thousand rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

from chain.model import BlockHeader, BlockRef, Log, Receipt, TxRequest
from chain.op_stack import operator_fee
from config.units import Address, BlockNumber, Hash32, to_hex

_MOST_BLOCKS: Final = 2**63 - 1
"""The largest integer of SQLite, and of PostgreSQL's ``bigint``."""
_LAST_SECOND: Final = 253_402_300_799
"""9999-12-31T23:59:59Z."""


class HeaderRow(msgspec.Struct, gc=False, rename="camel"):
    """A block without its transactions, as the node spells it."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str
    gas_limit: str
    base_fee_per_gas: str | None = None


class LogRow(msgspec.Struct, gc=False, rename="camel"):
    """A log, as the node spells it. A pending log (null block) does not fit, on purpose."""

    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool = False


class ReceiptRow(msgspec.Struct, gc=False, rename="camel"):
    """A receipt, as the node spells it."""

    transaction_hash: str
    status: str
    gas_used: str
    logs: list[LogRow]
    sender: str = msgspec.field(name="from")
    block_hash: str | None = None
    block_number: str | None = None
    transaction_index: str | None = None
    to: str | None = None
    contract_address: str | None = None
    effective_gas_price: str | None = None
    l1_fee: str | None = None
    operator_fee_scalar: str | None = None
    operator_fee_constant: str | None = None
    da_footprint_gas_scalar: str | None = None


class TransactionRow(msgspec.Struct, gc=False, rename="camel"):
    """Where a transaction is: in a block, or (null) in a mempool."""

    hash: str
    block_number: str | None = None


class FeeHistoryRow(msgspec.Struct, gc=False, rename="camel"):
    """Answer to ``eth_feeHistory``."""

    base_fee_per_gas: list[str | None] | None = None
    reward: list[list[str]] | None = None
    gas_used_ratio: list[float] | None = None


def quantity(text: str) -> int:
    """``0x…`` to an integer (JSON-RPC *quantity*).

    :raises ValueError: not hexadecimal, or over 256 bits.
    """
    if text[:2] != "0x" or not 2 < len(text) <= 66:
        raise ValueError("not a quantity")
    return int(text, 16)


def place(text: str) -> int:
    """A height or an index: a quantity that the databases can hold.

    :raises ValueError: not hexadecimal, or over 63 bits.
    """
    found = quantity(text)
    if found > _MOST_BLOCKS:
        raise ValueError("no height or index is so large")
    return found


def seconds(text: str) -> int:
    """A block's timestamp; one in milliseconds lies beyond the calendar.

    :raises ValueError: not hexadecimal, or after the year 9999.
    """
    found = quantity(text)
    if found > _LAST_SECOND:
        raise ValueError("the timestamp lies after the year 9999")
    return found


def fixed(text: str, length: int) -> bytes:
    """``0x…`` to exactly ``length`` bytes.

    :raises ValueError: another length, or not hexadecimal.
    """
    if text[:2] != "0x" or len(text) != 2 + 2 * length:
        raise ValueError(f"not {length} bytes")
    found = bytes.fromhex(text[2:])
    if len(found) != length:  # spaces between the digits are let pass there
        raise ValueError(f"not {length} bytes")
    return found


def blob(text: str) -> bytes:
    """``0x…`` to bytes of any length.

    :raises ValueError: no ``0x``, odd, or not hexadecimal.
    """
    if text[:2] != "0x":
        raise ValueError("not bytes")
    return bytes.fromhex(text[2:])


def to_header(row: HeaderRow) -> BlockHeader:
    """:raises ValueError: a field is malformed."""
    fee = row.base_fee_per_gas
    return BlockHeader(
        number=BlockNumber(place(row.number)),
        hash=Hash32(fixed(row.hash, 32)),
        parent_hash=Hash32(fixed(row.parent_hash, 32)),
        timestamp=seconds(row.timestamp),
        logs_bloom=fixed(row.logs_bloom, 256),
        base_fee_per_gas=None if fee is None else quantity(fee),
        gas_limit=quantity(row.gas_limit),
    )


def to_log(row: LogRow) -> Log:
    """:raises ValueError: a field is malformed."""
    return Log(
        address=Address(fixed(row.address, 20)),
        topics=tuple(fixed(topic, 32) for topic in row.topics),
        data=blob(row.data),
        block_number=BlockNumber(place(row.block_number)),
        block_hash=Hash32(fixed(row.block_hash, 32)),
        tx_hash=Hash32(fixed(row.transaction_hash, 32)),
        tx_index=place(row.transaction_index),
        log_index=place(row.log_index),
        removed=row.removed,
    )


def to_receipt(row: ReceiptRow) -> Receipt | None:
    """``None`` for a receipt without a block, as some nodes give for a pending transaction.

    :raises ValueError: a field is malformed, or a log is of another transaction or block.
    """
    if row.block_hash is None or row.block_number is None or row.transaction_index is None:
        return None
    logs = tuple(to_log(log) for log in row.logs)
    receipt = Receipt(
        tx_hash=Hash32(fixed(row.transaction_hash, 32)),
        block_hash=Hash32(fixed(row.block_hash, 32)),
        block_number=BlockNumber(place(row.block_number)),
        tx_index=place(row.transaction_index),
        status=quantity(row.status),
        gas_used=quantity(row.gas_used),
        effective_gas_price=quantity(row.effective_gas_price or "0x0"),
        l1_fee=quantity(row.l1_fee or "0x0"),
        sender=Address(fixed(row.sender, 20)),
        to=None if row.to is None else Address(fixed(row.to, 20)),
        contract_address=(
            None if row.contract_address is None else Address(fixed(row.contract_address, 20))
        ),
        logs=logs,
        operator_fee=operator_fee(
            quantity(row.gas_used),
            quantity(row.operator_fee_scalar or "0x0"),
            quantity(row.operator_fee_constant or "0x0"),
            jovian=row.da_footprint_gas_scalar is not None,
        ),
    )
    if receipt.status not in (0, 1):
        raise ValueError("a receipt's status is neither 0 nor 1")
    if receipt.fee >= 1 << 256:
        raise ValueError("no fee is so large")
    if any(log.tx_hash != receipt.tx_hash or log.block_hash != receipt.block_hash for log in logs):
        raise ValueError("a receipt holds a log of another transaction or block")
    if any(a.log_index >= b.log_index for a, b in pairwise(logs)):
        raise ValueError("a receipt's logs are out of order")
    return receipt


def block_param(block: BlockRef) -> object:
    """A block as a JSON-RPC parameter; a hash as EIP-1898 object."""
    if isinstance(block, int):
        return hex(block)
    if isinstance(block, str):
        return block
    return {"blockHash": to_hex(block)}


def tx_param(tx: TxRequest) -> dict[str, object]:
    """The transaction object of ``eth_call`` and ``eth_estimateGas``."""
    fields: dict[str, object] = {"data": to_hex(tx.data)}
    if tx.sender is not None:
        fields["from"] = to_hex(tx.sender)
    if tx.to is not None:
        fields["to"] = to_hex(tx.to)
    for name, number in (
        ("value", tx.value or None),
        ("gas", tx.gas),
        ("maxFeePerGas", tx.max_fee_per_gas),
        ("maxPriorityFeePerGas", tx.max_priority_fee_per_gas),
    ):
        if number is not None:
            fields[name] = hex(number)
    if tx.access_list:
        fields["accessList"] = [
            {"address": to_hex(address), "storageKeys": [to_hex(key) for key in keys]}
            for address, keys in tx.access_list
        ]
    if tx.authorization_list:
        fields["authorizationList"] = [
            {
                "chainId": hex(item.chain_id),
                "address": to_hex(item.address),
                "nonce": hex(item.nonce),
                "yParity": hex(item.y_parity),
                "r": hex(item.r),
                "s": hex(item.s),
            }
            for item in tx.authorization_list
        ]
    return fields
