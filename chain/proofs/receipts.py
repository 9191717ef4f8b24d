"""A block's receipts, proven against its hash.

What is proven, given that the block hash is the chain's (the caller links it to its
neighbours): which receipts there are and in which order, status, gas, and of every log
its contract, topics, data and place; with the transactions' bodies also their hashes.

What is not: ``sender``, ``to``, ``contract_address``, ``effective_gas_price`` and
``l1_fee`` are no part of a receipt's encoding; they are the provider's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.bloom import mask
from chain.codec import LogRow, blob, fixed, quantity, to_header, to_receipt
from chain.model import BlockHeader, Receipt
from chain.proofs.header import header_hash
from chain.proofs.rlp import array, keccak, number, text
from chain.proofs.rows import BlockRow, ProvableReceiptRow, SignedRow
from chain.proofs.transactions import DEPOSIT, encoded
from chain.proofs.trie import ordered_root

BLOOM_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """``receipts`` are all of the block's, by position."""

    header: BlockHeader
    receipts: tuple[Receipt, ...]
    provider: str
    """Label of who supplied it."""
    hashes_proven: bool
    """Whether ``tx_hash`` is proven too, not only the logs."""


def prove_header(row: BlockRow) -> BlockHeader:
    """The header, if its fields hash to its own hash.

    :raises ValueError: they do not, or a field is malformed.
    """
    header = to_header(row)
    if header_hash(row) != header.hash:
        raise ValueError("the header's fields do not hash to the block's hash")
    return header


def prove_transactions(row: BlockRow) -> list[bytes]:
    """Hashes of the block's transactions, if their bodies give the header's root.

    :raises ValueError: they do not, or a body cannot be encoded.
    """
    bodies = [encoded(tx) for tx in row.transactions if isinstance(tx, SignedRow)]
    if len(bodies) != len(row.transactions):
        raise ValueError("the block came without its transactions' bodies")
    if ordered_root(bodies) != fixed(row.transactions_root, 32):
        raise ValueError("the transactions do not give the header's transactionsRoot")
    return [keccak(body) for body in bodies]


def prove_receipts(
    block: BlockRow,
    header: BlockHeader,
    hashes: Sequence[bytes],
    rows: Sequence[ProvableReceiptRow],
) -> tuple[Receipt, ...]:
    """The receipts, if they give the header's ``receiptsRoot`` and ``logsBloom``.

    :param hashes: of the block's transactions, by position.
    :raises ValueError: they do not, or contradict themselves.
    """
    if len(rows) != len(hashes):
        raise ValueError(f"{len(rows)} receipts for {len(hashes)} transactions")
    root, bloom = commitment(rows)
    if root != fixed(block.receipts_root, 32):
        raise ValueError("the receipts do not give the header's receiptsRoot")
    if bloom != header.logs_bloom:
        raise ValueError("the logs do not give the header's logsBloom")
    return _placed(header, hashes, rows)


def commitment(rows: Sequence[ProvableReceiptRow]) -> tuple[bytes, bytes]:
    """The receipts root (32 bytes) and the bloom (256 bytes) of a block with these receipts.

    :raises ValueError: a field is malformed.
    """
    masks: dict[str, int] = {}
    whole = 0
    values = []
    for row in rows:
        bloom = _bloom(row.logs, masks)
        whole |= bloom
        values.append(_encoded(row, bloom))
    return ordered_root(values), whole.to_bytes(BLOOM_BYTES, "big")


def _encoded(row: ProvableReceiptRow, bloom: int) -> bytes:
    """A receipt as the root commits to it (EIP-658, EIP-2718).

    Unknown types are encoded like the standard ones: were that wrong, the root would
    differ and nothing be believed. The bloom is made from the logs, not taken from the row.
    """
    kind = quantity(row.type)
    parts = [
        number(quantity(row.status)),
        number(quantity(row.cumulative_gas_used)),
        text(bloom.to_bytes(BLOOM_BYTES, "big")),
        array(map(_log, row.logs)),
    ]
    # OP stack: between Regolith and Canyon the deposit nonce was stored, but left out of
    # the root by mistake; Canyon put it in and marked such receipts with a version.
    if kind == DEPOSIT and row.deposit_receipt_version is not None:
        parts.append(number(quantity(row.deposit_nonce or "0x0")))
        parts.append(number(quantity(row.deposit_receipt_version)))
    if kind > 0x7F:
        raise ValueError(f"{kind:#x} is no type of transaction")
    return (bytes((kind,)) if kind else b"") + array(parts)


def _log(row: LogRow) -> bytes:
    topics = array(text(fixed(topic, 32)) for topic in row.topics)
    return array((text(fixed(row.address, 20)), topics, text(blob(row.data))))


def _bloom(logs: Sequence[LogRow], masks: dict[str, int]) -> int:
    """Bloom of these logs; ``masks`` remembers items, which repeat all over a block."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            found = masks.get(item)
            if found is None:
                found = masks[item] = mask(blob(item))
            bits |= found
    return bits


def _placed(
    header: BlockHeader, hashes: Sequence[bytes], rows: Sequence[ProvableReceiptRow]
) -> tuple[Receipt, ...]:
    """Receipts as values, each place that the root does not hold checked by counting."""
    receipts = []
    gas_before = next_log = 0
    for i, (row, tx_hash) in enumerate(zip(rows, hashes, strict=True)):
        receipt = to_receipt(row)
        if receipt is None or (receipt.block_hash, receipt.block_number) != (
            header.hash,
            header.number,
        ):
            raise ValueError("a receipt is of another block")
        if receipt.tx_hash != tx_hash or receipt.tx_index != i:
            raise ValueError("a receipt is filed under another transaction")
        gas = quantity(row.cumulative_gas_used)
        if receipt.gas_used != gas - gas_before:
            raise ValueError("a receipt's gas is not what the cumulative gas says")
        for log in receipt.logs:
            place = (log.log_index, log.tx_index, log.block_number, log.removed)
            if place != (next_log, i, header.number, False):
                raise ValueError("a log is not in its place")
            next_log += 1
        gas_before = gas
        receipts.append(receipt)
    return tuple(receipts)
