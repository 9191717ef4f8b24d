"""The root over a block's transactions, and with it their hashes.

The receipts root commits to logs by position, not to the hash of the transaction that
made them: a provider could file a true log under an invented transaction. Types 0 to 4
and the OP stack's deposits (0x7e) are encoded; a block with another type is not provable.
"""

from __future__ import annotations

from chain.codec import blob, fixed, quantity
from chain.proofs.rlp import EMPTY, array, number, text
from chain.proofs.rows import AccessRow, AuthorizationRow, SignedRow

DEPOSIT = 0x7E
"""OP stack: a transaction that comes from L1 (Deposits, "the deposited transaction type")."""


def encoded(row: SignedRow) -> bytes:
    """The bytes whose keccak is the transaction's hash (EIP-2718).

    :raises ValueError: a field is malformed or missing, or the type is unknown.
    """
    kind = quantity(row.type)
    if kind == 0:
        parts = [_n(row.nonce), _n(row.gas_price), *_call(row)]
        return array([*parts, _n(row.v), _n(row.r), _n(row.s)])
    if kind == DEPOSIT:
        return bytes((kind,)) + array(_deposit(row))
    parts = [_n(row.chain_id), _n(row.nonce)]
    if kind == 1:
        parts.append(_n(row.gas_price))
    elif kind in (2, 3, 4):
        parts += [_n(row.max_priority_fee_per_gas), _n(row.max_fee_per_gas)]
    else:
        raise ValueError(f"transactions of type {kind:#x} cannot be proven")
    parts += [*_call(row), array(map(_access, row.access_list or ()))]
    if kind == 3:
        hashes = (text(fixed(item, 32)) for item in row.blob_versioned_hashes or ())
        parts += [_n(row.max_fee_per_blob_gas), array(hashes)]
    if kind == 4:
        parts.append(array(map(_authorization, row.authorization_list or ())))
    parity = row.v if row.y_parity is None else row.y_parity
    return bytes((kind,)) + array([*parts, _n(parity), _n(row.r), _n(row.s)])


def _call(row: SignedRow) -> list[bytes]:
    return [_n(row.gas), _to(row.to), _n(row.value), text(blob(row.input))]


def _deposit(row: SignedRow) -> list[bytes]:
    if row.source_hash is None or row.sender is None:
        raise ValueError("a deposit lacks its source hash or sender")
    return [
        text(fixed(row.source_hash, 32)),
        text(fixed(row.sender, 20)),
        _to(row.to),
        number(quantity(row.mint or "0x0")),
        _n(row.value),
        _n(row.gas),
        number(int(row.is_system_tx)),
        text(blob(row.input)),
    ]


def _n(field: str | None) -> bytes:
    if field is None:
        raise ValueError("a transaction lacks a field that its type has")
    return number(quantity(field))


def _to(field: str | None) -> bytes:
    return EMPTY if field is None else text(fixed(field, 20))


def _access(row: AccessRow) -> bytes:
    keys = array(text(fixed(key, 32)) for key in row.storage_keys)
    return array((text(fixed(row.address, 20)), keys))


def _authorization(row: AuthorizationRow) -> bytes:
    address = text(fixed(row.address, 20))
    tail = (_n(row.nonce), _n(row.y_parity), _n(row.r), _n(row.s))
    return array((_n(row.chain_id), address, *tail))
