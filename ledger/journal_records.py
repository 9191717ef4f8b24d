"""What the journal holds, and its form as JSON. Pure.

Each record is enough to write again what the database may have lost: a batch
with whom it pays or sweeps, the signed bytes that were sent for it, and how far
deposit addresses may have been handed out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Final, TypeVar

from config.units import Address, Hash32


@dataclass(frozen=True, slots=True)
class IndexMark:
    """Derivation indexes below ``next_index`` may have been handed out."""

    next_index: int


@dataclass(frozen=True, slots=True)
class PayoutEntry:
    """A payout in its batch, as promised. Base units.

    :param invoice_id: of a refund; ``None`` also in lines that were written before it was kept.
    """

    id: str
    merchant_id: str
    kind: str
    amount: int
    address: Address
    run_id: str | None = None
    invoice_id: str | None = None


@dataclass(frozen=True, slots=True)
class SweepEntry:
    """A deposit address in its sweep. Base units."""

    address: Address
    derivation_index: int
    amount: int


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A sealed batch: id, content and for whom; written before its first broadcast.

    :param key: names it in every copy of the database: its on-chain id, or its first
        transaction where it has none.
    """

    key: str
    chain: str
    lane: str
    purpose: str
    token: str
    epoch: int | None
    onchain_id: int | None
    content_hash: Hash32
    target: Address
    value: int
    calldata: bytes
    authorizations: tuple[Mapping[str, Any], ...]
    sealed_block: int
    payouts: tuple[PayoutEntry, ...] = ()
    sweeps: tuple[SweepEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """Signed bytes and the nonce that they use; written before they are sent.

    :param batch_key: ``None`` for a transfer to oneself.
    """

    chain: str
    lane: str
    sender: Address
    nonce: int
    attempt: int
    purpose: str
    batch_key: str | None
    tx_hash: Hash32
    raw: bytes
    gas_limit: int
    max_fee: int
    max_tip: int


Record = IndexMark | BatchRecord | AttemptRecord

_KINDS: Final[dict[str, type[IndexMark] | type[BatchRecord] | type[AttemptRecord]]] = {
    "indexes": IndexMark,
    "batch": BatchRecord,
    "attempt": AttemptRecord,
}
_BINARY: Final = ("content_hash", "target", "address", "sender", "tx_hash")
"""Shown in hexadecimal, for people who read the file."""
_BULK: Final = ("calldata", "raw")

T = TypeVar("T")


def encode_record(record: Record) -> bytes:
    """One line of JSON without its end; numbers beyond 53 bits as text."""
    kind = next(name for name, type_ in _KINDS.items() if isinstance(record, type_))
    return json.dumps(
        {"kind": kind, **_plain(asdict(record))}, separators=(",", ":"), ensure_ascii=True
    ).encode()


def decode_record(line: bytes) -> Record:
    """The inverse of :func:`encode_record`.

    :raises ValueError: not a record of this program.
    """
    data = json.loads(line)
    if not isinstance(data, dict):
        raise ValueError("not a record")  # noqa: TRY004
    type_ = _KINDS.get(data.pop("kind", ""))
    if type_ is None:
        raise ValueError("an unknown kind of record")
    try:
        if type_ is BatchRecord:
            data["payouts"] = tuple(_built(PayoutEntry, row) for row in data["payouts"])
            data["sweeps"] = tuple(_built(SweepEntry, row) for row in data["sweeps"])
            data["authorizations"] = tuple(
                {name: value if name == "address" else int(value) for name, value in item.items()}
                for item in data["authorizations"]
            )
        return _built(type_, data)
    except (KeyError, TypeError) as error:
        raise ValueError("an incomplete record") from error


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if name in _BINARY and isinstance(value, bytes):
            plain[name] = value.hex()
        elif name in _BULK:
            plain[name] = base64.b64encode(value).decode()
        elif name == "authorizations":
            plain[name] = [
                {k: v if k == "address" else str(v) for k, v in i.items()} for i in value
            ]
        elif isinstance(value, tuple):
            plain[name] = [_plain(row) for row in value]
        elif isinstance(value, int) and value >= 2**53:
            plain[name] = str(value)
        else:
            plain[name] = value
    return plain


def _built(type_: type[T], data: Mapping[str, Any]) -> T:
    values: dict[str, Any] = {}
    for field in fields(type_):  # type: ignore[arg-type]
        if field.name not in data and field.default is not MISSING:
            continue  # an older program wrote it
        value = data[field.name]
        if field.name in _BINARY and value is not None:
            value = bytes.fromhex(value)
        elif field.name in _BULK:
            value = base64.b64decode(value, validate=True)
        elif isinstance(value, str) and field.type in ("int", "int | None"):
            value = int(value)
        values[field.name] = value
    return type_(**values)
