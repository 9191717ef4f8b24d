"""JSON-RPC 2.0 to bytes and back, one pass over the reply's bytes. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from chain.rpc.errors import BadReply

W = TypeVar("W")
R = TypeVar("R")

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text; a broken letter, and too deep a nesting, have Python errors."""


class ErrorBody(msgspec.Struct, gc=False):
    """``error`` of a reply. ``data`` is revert data, a string, or anything."""

    code: int | float | str | None = None
    message: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class Reply(msgspec.Struct, Generic[W], gc=False):
    """One reply; ``result`` is decoded straight into ``W``."""

    id: int | str | None = None
    result: W | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | str | None = None


class Shape:
    """Decoders of a single reply and of a batch whose results all have type ``result``."""

    __slots__ = ("many", "one")

    def __init__(self, result: Any) -> None:
        self.one: msgspec.json.Decoder[Reply[Any]] = msgspec.json.Decoder(Reply[result])
        self.many: msgspec.json.Decoder[list[Reply[Any]] | Reply[Any]] = msgspec.json.Decoder(
            list[Reply[result]] | Reply[result]
        )


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """A request that knows how to read and check its own answer.

    ``build`` takes the decoded result and raises ``ValueError`` when it cannot be
    the answer to what was asked; the pool then marks the provider and asks another.
    ``null_is_late``: a ``null`` may only mean that this node has not seen it yet, so
    another provider is asked before ``None`` is believed.
    ``height``: the block asked for; ``null`` from a provider whose own head is at or
    above it is a bad reply.
    """

    method: str
    params: Sequence[Any]
    shape: Shape
    build: Callable[[Any], R]
    null_is_late: bool = False
    height: int | None = None


def encode_call(call: Call[Any], request_id: int) -> bytes:
    """The body of a single request."""
    return msgspec.json.encode(_request(call, request_id))


def encode_batch(calls: Sequence[Call[Any]], first_id: int) -> bytes:
    """The body of a batch; ids count up from ``first_id``."""
    return msgspec.json.encode([_request(call, first_id + i) for i, call in enumerate(calls)])


def _request(call: Call[Any], request_id: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": call.method, "params": call.params}


def decode_one(shape: Shape, body: bytes, request_id: int) -> Reply[Any]:
    """The reply to one request.

    :raises BadReply: not JSON-RPC, cut off, of another shape, or another request's.
    """
    try:
        reply = shape.one.decode(body)
    except UNREADABLE as error:
        raise BadReply(describe(body, error)) from None
    # An error may come without an id: the node could not read the request (JSON-RPC 2.0, §5).
    if reply.id != request_id and not (reply.error is not None and reply.id is None):
        raise BadReply("the reply carries another request's id")
    return reply


def decode_many(
    shape: Shape, body: bytes, first_id: int, count: int
) -> Reply[Any] | list[Reply[Any] | None]:
    """The replies of a batch in the order of asking; ``None`` where one is missing.

    A single object instead of a list is the provider's error about the whole batch.

    :raises BadReply: as :func:`decode_one`, or an id twice or unknown.
    """
    try:
        replies = shape.many.decode(body)
    except UNREADABLE as error:
        raise BadReply(describe(body, error)) from None
    if isinstance(replies, Reply):
        return replies
    ordered: list[Reply[Any] | None] = [None] * count
    for reply in replies:
        if reply.id is None and reply.error is not None and len(replies) == 1:
            return reply
        position = reply.id - first_id if isinstance(reply.id, int) else -1
        if not 0 <= position < count or ordered[position] is not None:
            raise BadReply("the batch reply has an id that was not asked for, or twice")
        ordered[position] = reply
    return ordered


def error_data(raw: msgspec.Raw) -> tuple[bytes, str]:
    """Revert data and words in ``error.data``: hex text, or an object that holds it."""
    try:
        data = msgspec.json.decode(raw)
    except UNREADABLE:
        return b"", ""
    if isinstance(data, dict):
        words = data.get("message")
        data = data.get("data", data.get("result"))
        if not isinstance(data, str):
            return b"", words if isinstance(words, str) else ""
    if not isinstance(data, str):
        return b"", ""
    # OpenEthereum and old Nethermind put "Reverted 0x…" here.
    found = re.fullmatch(r"(?:Reverted )?0x((?:[0-9a-fA-F]{2})*)", data)
    return (bytes.fromhex(found[1]), "") if found else (b"", data)


def describe(body: bytes, error: Exception) -> str:
    """One line on a body that cannot be read; quotes nothing of it but its kind."""
    head = body.lstrip()[:1]
    if not head:
        return "the reply is empty"
    if head == b"<":
        return "the reply is an HTML page instead of JSON"
    if head not in (b"{", b"["):
        return "the reply is not JSON"
    if isinstance(error, msgspec.ValidationError):
        return f"the reply has an unexpected shape: {str(error)[:160]}"
    return f"the reply is cut off or not JSON ({len(body)} bytes)"
