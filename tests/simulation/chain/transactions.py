"""Signed bytes to transactions, and what a transaction does to a block's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import rlp
from eth_utils.crypto import keccak

from tests.simulation.chain.code import signer_of
from tests.simulation.chain.evm import Contract, Machine, RawLog, Slots

AUTHORIZATION_GAS = 25_000


@dataclass(frozen=True, slots=True)
class Authorization:
    """EIP-7702."""

    chain_id: int
    delegate: bytes
    nonce: int
    authority: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class Tx:
    """A transaction; ``nonce`` is ``None`` for an actor's, whose keys do not matter."""

    hash: bytes
    sender: bytes
    to: bytes
    data: bytes
    value: int = 0
    nonce: int | None = None
    gas: int = 3_000_000
    max_fee: int = 10**15
    max_tip: int = 10**9
    authorizations: tuple[Authorization, ...] = ()
    raw: bytes = b""
    not_before: float = 0.0
    """Virtual time before which no block takes it."""
    mark: bytes = b""
    """32 bytes in the place of an actor's signature, where bodies are hashed."""


@dataclass(slots=True)
class Result:
    """What a transaction did."""

    status: int
    gas_used: int
    price: int
    logs: list[RawLog]
    output: bytes = b""


class InvalidTxError(Exception):
    """A node refuses these bytes for good; the text is a node's."""


def decode_raw(raw: bytes, chain_id: int) -> Tx:
    """EIP-1559 and EIP-7702 transactions.

    :raises InvalidTxError: anything else, or signed for another chain.
    """
    kind = raw[0]
    if kind not in (2, 4):
        raise InvalidTxError("transaction type not supported")
    fields = rlp.decode(raw[1:])
    body, (parity, r, s) = fields[:-3], fields[-3:]
    if _int(body[0]) != chain_id:
        raise InvalidTxError("invalid chain id for signer")
    digest = keccak(raw[:1] + rlp.encode(body))
    signature = r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes([_int(parity)])
    sender = signer_of(digest, signature)
    if sender is None:
        raise InvalidTxError("invalid signature")
    return Tx(
        hash=bytes(keccak(raw)),
        sender=sender,
        to=bytes(body[5]),
        data=bytes(body[7]),
        value=_int(body[6]),
        nonce=_int(body[1]),
        gas=_int(body[4]),
        max_fee=_int(body[3]),
        max_tip=_int(body[2]),
        authorizations=tuple(map(_authorization, body[9])) if kind == 4 else (),
        raw=raw,
    )


def _int(data: bytes) -> int:
    return int.from_bytes(data)


def _authorization(item: list[bytes]) -> Authorization:
    chain_id, delegate, nonce, parity, r, s = item
    digest = keccak(b"\x05" + rlp.encode([chain_id, delegate, nonce]))
    signature = r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes([_int(parity)])
    return Authorization(_int(chain_id), bytes(delegate), _int(nonce), signer_of(digest, signature))


def intrinsic_gas(tx: Tx) -> int:
    """Before any code runs."""
    zeros = tx.data.count(0)
    calldata = 4 * zeros + 16 * (len(tx.data) - zeros)
    return 21_000 + calldata + AUTHORIZATION_GAS * len(tx.authorizations)


def authorize(vm: Machine, authorizations: tuple[Authorization, ...]) -> None:
    """Each tuple by itself; one that does not fit is skipped without a word."""
    for item in authorizations:
        account = item.authority
        if account is None or item.chain_id not in (0, vm.chain_id):
            continue
        if account in vm.code or vm.get("nonce", account) != item.nonce:
            continue
        vm.put(int.from_bytes(item.delegate), "delegate", account)
        vm.put(item.nonce + 1, "nonce", account)


def apply(
    tx: Tx,
    slots: Slots,
    code: Mapping[bytes, Contract],
    *,
    chain_id: int,
    timestamp: int,
    base_fee: int,
) -> Result:
    """Carry it out; ``slots`` are changed. Nonce and price were looked at by the miner."""
    vm = Machine(slots, code, chain_id, timestamp, gas_limit=tx.gas, gas=intrinsic_gas(tx))
    price = min(tx.max_fee, base_fee + tx.max_tip)
    if tx.nonce is not None:
        vm.put(tx.nonce + 1, "nonce", tx.sender)
    authorize(vm, tx.authorizations)
    mark = vm.mark()
    done, output = vm.call(tx.sender, tx.to, tx.value, tx.data)
    if done and vm.gas > tx.gas:
        vm.back_to(mark)
        done, output, vm.gas = False, b"", tx.gas
    used = min(vm.gas, tx.gas)
    if tx.nonce is not None:
        vm.add(-used * price, "wei", tx.sender)
    return Result(int(done), used, price, list(vm.logs), output)
