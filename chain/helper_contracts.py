"""Speaking to the treasury, the collector and the forwarder: bytes in, bytes out. Pure.

What each contract promises stands in ``chain/contracts/*.sol``; this module
builds their calls, the digest that the treasury signer signs, and reads their
logs. It sends nothing and signs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.abi import as_address, decode_values, encode_call, selector, topic
from config.errors import BursarError
from config.units import ZERO_ADDRESS, Address, Amount, Hash32

ENTRY_BYTES: Final = 32
MAX_ENTRY_AMOUNT: Final = 2**96 - 1
"""An entry keeps its amount in 12 bytes: 79,228,162,514 whole units of an 18-decimal token."""

DELEGATION_PREFIX: Final = bytes.fromhex("ef0100")
"""What precedes the delegate's address in the code of a delegating account (EIP-7702)."""

_BATCH_EXECUTED: Final = topic("BatchExecuted(uint64,uint256,address,bytes32,uint256)")
_PAYOUT_FAILED: Final = topic("PayoutFailed(uint64,uint256,uint256,address,uint256,bytes)")
EPOCH_RAISED: Final = topic("EpochRaised(uint64)")
_SWEPT: Final = topic("Swept(address,address,uint256,uint256)")
_SWEEP_FAILED: Final = topic("SweepFailed(address,uint256,address,uint256,bytes)")
_SIMULATED: Final = selector("Simulated((uint256,bytes)[])")

_DOMAIN_TYPEHASH: Final = topic(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_BATCH_TYPEHASH: Final = topic("Batch(uint64 epoch,uint256 id,address token,bytes32 contentHash)")
_NAME_HASH: Final = topic("Bursar Treasury")
_VERSION_HASH: Final = topic("1")


class PackingError(BursarError):
    """An entry cannot be packed: no recipient, nothing to pay, or an amount above 96 bits."""


class EventLog(Protocol):
    """The part of a log that is read here; ``chain.model.Log`` has it."""

    @property
    def address(self) -> bytes: ...
    @property
    def topics(self) -> tuple[bytes, ...]: ...
    @property
    def data(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class BatchExecuted:
    """A batch ran, whatever became of its entries. ``content_hash`` says which one it was."""

    epoch: int
    batch_id: int
    token: Address
    content_hash: Hash32
    failed_count: int


@dataclass(frozen=True, slots=True)
class PayoutFailed:
    """An entry of a batch was not paid. ``reason``: revert data, cut to 196 bytes."""

    epoch: int
    batch_id: int
    index: int
    recipient: Address
    amount: Amount
    reason: bytes


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep of one token ran over ``accounts`` entries, of which ``failed_count`` did not pay."""

    token: Address
    sink: Address
    accounts: int
    failed_count: int


@dataclass(frozen=True, slots=True)
class SweepFailed:
    """An account did not pay. An empty ``reason`` mostly means that it does not delegate to us."""

    token: Address
    index: int
    account: Address
    amount: Amount
    reason: bytes


@dataclass(frozen=True, slots=True)
class EntryFailure:
    """What a simulation says about one entry: it would fail now, and why (revert data)."""

    index: int
    reason: bytes


def pack_batch(items: Sequence[tuple[Address, Amount]]) -> bytes:
    """Entries of 32 bytes, address then 12-byte amount, for batches and sweeps alike.

    :raises PackingError: no entries, a zero address, or an amount outside 1 … 2**96 - 1.
    """
    if not items:
        raise PackingError("a batch without entries")
    words = []
    for position, (account, amount) in enumerate(items):
        where = f"entry {position}"
        if len(account) != 20 or account == ZERO_ADDRESS:
            raise PackingError("not a recipient's address", where=where)
        if not 0 < amount <= MAX_ENTRY_AMOUNT:
            raise PackingError(
                f"{amount} base units do not fit an entry (1 to 2^96 - 1)",
                where=where,
                remedy="split the amount over several batches",
            )
        words.append(account + amount.to_bytes(12))
    return b"".join(words)


def unpack_batch(packed: bytes) -> tuple[tuple[Address, Amount], ...]:
    """The entries of packed bytes, e.g. of an execution found on chain.

    :raises ValueError: not a whole number of entries.
    """
    if len(packed) % ENTRY_BYTES:
        raise ValueError(f"{len(packed)} bytes are not a whole number of 32-byte entries")
    words = (packed[at : at + ENTRY_BYTES] for at in range(0, len(packed), ENTRY_BYTES))
    return tuple((Address(word[:20]), Amount(int.from_bytes(word[20:]))) for word in words)


def content_hash(packed: bytes) -> Hash32:
    """What the treasury records of a batch's entries."""
    return Hash32(bytes(keccak(packed)))


def batch_digest(
    chain_id: int,
    treasury: Address,
    epoch: int,
    batch_id: int,
    token: Address,
    content_hash: Hash32,
) -> Hash32:
    """The 32 bytes that the treasury signer signs (EIP-712), bound to chain and contract."""
    domain = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [_DOMAIN_TYPEHASH, _NAME_HASH, _VERSION_HASH, chain_id, treasury],
        )
    )
    batch = keccak(
        encode(
            ["bytes32", "uint64", "uint256", "address", "bytes32"],
            [_BATCH_TYPEHASH, epoch, batch_id, token, content_hash],
        )
    )
    return Hash32(bytes(keccak(b"\x19\x01" + domain + batch)))


def encode_pay_batch(
    epoch: int, batch_id: int, token: Address, packed: bytes, signature: bytes
) -> bytes:
    """Call of the treasury.

    :param signature: 65 bytes, r, s and v (27 or 28), with s in the lower half (EIP-2).
    """
    assert len(signature) == 65, "a signature is r, s and v"
    return encode_call(
        "payBatch(uint64,uint256,address,bytes,bytes)", epoch, batch_id, token, packed, signature
    )


def decode_pay_batch(data: bytes) -> tuple[int, int, Address, bytes, bytes]:
    """Call data of a batch back to (epoch, id, token, packed, signature).

    :raises ValueError: the call of something else, or cut off.
    """
    if data[:4] != selector("payBatch(uint64,uint256,address,bytes,bytes)"):
        raise ValueError("not a call of payBatch")
    epoch, batch_id, token, packed, signature = decode_values(
        ["uint64", "uint256", "address", "bytes", "bytes"], data[4:]
    )
    return epoch, batch_id, as_address(token), packed, signature


def encode_executed(epoch: int, batch_id: int) -> bytes:
    """``eth_call`` of the treasury; :func:`chain.abi.decode_bool` reads the answer."""
    return encode_call("executed(uint64,uint256)", epoch, batch_id)


def encode_simulate(token: Address, packed: bytes) -> bytes:
    """``eth_call`` of the treasury (or of the collector: same form); always reverts.

    :func:`decode_simulated` reads the revert data.
    """
    return encode_call("simulate(address,bytes)", token, packed)


def decode_simulated(revert_data: bytes) -> tuple[EntryFailure, ...] | None:
    """Who would fail; empty if nobody; ``None`` if it is another revert (the whole would fail)."""
    if revert_data[:4] != _SIMULATED:
        return None
    (failures,) = decode_values(["(uint256,bytes)[]"], revert_data[4:])
    return tuple(EntryFailure(index, reason) for index, reason in failures)


def encode_sweep(token: Address, packed: bytes) -> bytes:
    """Call of the collector for one token; the zero address is the native coin."""
    return encode_call("sweep(address,bytes)", token, packed)


def encode_sweep_many(batches: Sequence[tuple[Address, bytes]]) -> bytes:
    """Call of the collector for several tokens, each with its packed entries."""
    tokens = [token for token, _ in batches]
    return encode_call("sweepMany(address[],bytes[])", tokens, [packed for _, packed in batches])


def swept_token(data: bytes) -> Address:
    """The token of a call of :func:`encode_sweep`; the last one of :func:`encode_sweep_many`.

    :raises ValueError: the call of something else, or cut off.
    """
    if data[:4] == selector("sweep(address,bytes)"):
        return as_address(decode_values(["address", "bytes"], data[4:])[0])
    if data[:4] == selector("sweepMany(address[],bytes[])"):
        return as_address(decode_values(["address[]", "bytes[]"], data[4:])[0][-1])
    raise ValueError("not a call of sweep")


def executed_topics(epoch: int, batch_id: int) -> tuple[bytes, bytes, bytes]:
    """``eth_getLogs`` topics that find the one execution of a batch at the treasury."""
    return _BATCH_EXECUTED, epoch.to_bytes(32), batch_id.to_bytes(32)


def decode_batch_executed(log: EventLog, treasury: Address) -> BatchExecuted | None:
    """``None``: another contract's log or another event.

    :raises ValueError: the treasury's event, but malformed (a lying provider).
    """
    if not _is_event(log, treasury, _BATCH_EXECUTED, topics=4):
        return None
    content, failed_count = decode_values(["bytes32", "uint256"], log.data)
    return BatchExecuted(
        epoch=int.from_bytes(log.topics[1]),
        batch_id=int.from_bytes(log.topics[2]),
        token=Address(log.topics[3][12:]),
        content_hash=Hash32(content),
        failed_count=failed_count,
    )


def decode_epoch_raised(log: EventLog, treasury: Address) -> int | None:
    """The epoch that began; otherwise as :func:`decode_batch_executed`."""
    if not _is_event(log, treasury, EPOCH_RAISED, topics=1):
        return None
    (epoch,) = decode_values(["uint64"], log.data)
    return int(epoch)


def decode_payout_failed(log: EventLog, treasury: Address) -> PayoutFailed | None:
    """As :func:`decode_batch_executed`."""
    if not _is_event(log, treasury, _PAYOUT_FAILED, topics=3):
        return None
    index, recipient, amount, reason = decode_values(
        ["uint256", "address", "uint256", "bytes"], log.data
    )
    return PayoutFailed(
        epoch=int.from_bytes(log.topics[1]),
        batch_id=int.from_bytes(log.topics[2]),
        index=index,
        recipient=as_address(recipient),
        amount=Amount(amount),
        reason=reason,
    )


def decode_swept(log: EventLog, collector: Address) -> Swept | None:
    """As :func:`decode_batch_executed`, for the collector."""
    if not _is_event(log, collector, _SWEPT, topics=3):
        return None
    accounts, failed_count = decode_values(["uint256", "uint256"], log.data)
    token, sink = (Address(word[12:]) for word in log.topics[1:])
    return Swept(token=token, sink=sink, accounts=accounts, failed_count=failed_count)


def decode_sweep_failed(log: EventLog, collector: Address) -> SweepFailed | None:
    """As :func:`decode_batch_executed`, for the collector."""
    if not _is_event(log, collector, _SWEEP_FAILED, topics=2):
        return None
    index, account, amount, reason = decode_values(
        ["uint256", "address", "uint256", "bytes"], log.data
    )
    return SweepFailed(
        token=Address(log.topics[1][12:]),
        index=index,
        account=as_address(account),
        amount=Amount(amount),
        reason=reason,
    )


def check_own_log(log: EventLog, treasury: Address, collector: Address) -> None:
    """Whether a log that is said to be of our contracts can be; others' may look as they like.

    :raises ValueError: it cannot: a provider made it up, or garbled it.
    """
    if log.address == treasury:
        decode_batch_executed(log, treasury)
        decode_epoch_raised(log, treasury)
        decode_payout_failed(log, treasury)
    elif log.address == collector:
        decode_swept(log, collector)
        decode_sweep_failed(log, collector)


def delegation_code(delegate: Address) -> bytes:
    """The code of an account that delegates to ``delegate`` (EIP-7702), 23 bytes."""
    return DELEGATION_PREFIX + delegate


def delegate_of(code: bytes) -> Address | None:
    """Whom an account delegates to; ``None`` for a plain account or a real contract."""
    if len(code) == 23 and code.startswith(DELEGATION_PREFIX):
        return Address(code[3:])
    return None


def _is_event(log: EventLog, contract: Address, wanted: Hash32, *, topics: int) -> bool:
    if log.address != contract or not log.topics or log.topics[0] != wanted:
        return False
    if len(log.topics) != topics:
        raise ValueError(f"a log of ours with {len(log.topics)} topics instead of {topics}")
    return True
