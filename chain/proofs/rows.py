"""What a node says of a block, with every field that its hash commits to."""

from __future__ import annotations

import msgspec

from chain.codec import HeaderRow, ReceiptRow


class AccessRow(msgspec.Struct, gc=False, rename="camel"):
    """An entry of an access list (EIP-2930)."""

    address: str
    storage_keys: list[str]


class AuthorizationRow(msgspec.Struct, gc=False, rename="camel"):
    """A signed delegation (EIP-7702)."""

    chain_id: str
    address: str
    nonce: str
    y_parity: str
    r: str
    s: str


class SignedRow(msgspec.Struct, gc=False, rename="camel"):
    """A transaction of any type that can be proven."""

    hash: str
    nonce: str
    gas: str
    value: str
    input: str
    type: str = "0x0"
    to: str | None = None
    chain_id: str | None = None
    gas_price: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    access_list: list[AccessRow] | None = None
    blob_versioned_hashes: list[str] | None = None
    authorization_list: list[AuthorizationRow] | None = None
    v: str | None = None
    y_parity: str | None = None
    r: str | None = None
    s: str | None = None
    # OP-stack deposits (type 0x7e) only.
    sender: str | None = msgspec.field(default=None, name="from")
    source_hash: str | None = None
    mint: str | None = None
    is_system_tx: bool = False


class BlockRow(HeaderRow, kw_only=True, gc=False, rename="camel"):
    """A whole header. Later forks' fields are optional, in the order of :mod:`.header`."""

    sha3_uncles: str = msgspec.field(name="sha3Uncles")
    miner: str
    state_root: str
    transactions_root: str
    receipts_root: str
    difficulty: str
    gas_used: str
    extra_data: str
    mix_hash: str
    nonce: str
    transactions: list[str | SignedRow]
    withdrawals_root: str | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    requests_hash: str | None = None
    block_access_list_hash: str | None = None
    slot_number: str | None = None


class ProvableReceiptRow(ReceiptRow, kw_only=True, gc=False, rename="camel"):
    """A receipt with what the receipts root commits to."""

    cumulative_gas_used: str
    type: str = "0x0"
    deposit_nonce: str | None = None
    deposit_receipt_version: str | None = None
