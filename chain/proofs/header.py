"""The hash of a header, from the fields that a node gives."""

from __future__ import annotations

from chain.codec import blob, fixed, quantity
from chain.proofs.rlp import EMPTY, array, keccak, number, text
from chain.proofs.rows import BlockRow


def header_hash(row: BlockRow) -> bytes:
    """32 bytes: keccak of the header's RLP (Yellow Paper, §4.4), forks up to Amsterdam.

    :raises ValueError: a field is malformed.
    """
    parts = [
        text(fixed(row.parent_hash, 32)),
        text(fixed(row.sha3_uncles, 32)),
        text(fixed(row.miner, 20)),
        text(fixed(row.state_root, 32)),
        text(fixed(row.transactions_root, 32)),
        text(fixed(row.receipts_root, 32)),
        text(fixed(row.logs_bloom, 256)),
        number(quantity(row.difficulty)),
        number(quantity(row.number)),
        number(quantity(row.gas_limit)),
        number(quantity(row.gas_used)),
        number(quantity(row.timestamp)),
        text(blob(row.extra_data)),
        text(fixed(row.mix_hash, 32)),
        text(fixed(row.nonce, 8)),
    ]
    return keccak(array(parts + _later_forks(row)))


def _later_forks(row: BlockRow) -> list[bytes]:
    """Each fork adds at the end; a gap before a field that is there is an empty item."""
    optional = [
        _number(row.base_fee_per_gas),  # EIP-1559, London
        _hash(row.withdrawals_root),  # EIP-4895, Shanghai
        _number(row.blob_gas_used),  # EIP-4844, Cancun
        _number(row.excess_blob_gas),  # EIP-4844, Cancun
        _hash(row.parent_beacon_block_root),  # EIP-4788, Cancun
        _hash(row.requests_hash),  # EIP-7685, Prague
        _hash(row.block_access_list_hash),  # EIP-7928, Amsterdam
        _number(row.slot_number),  # EIP-7843, Amsterdam
    ]
    while optional and optional[-1] is None:
        optional.pop()
    return [EMPTY if part is None else part for part in optional]


def _number(field: str | None) -> bytes | None:
    return None if field is None else number(quantity(field))


def _hash(field: str | None) -> bytes | None:
    return None if field is None else text(fixed(field, 32))
