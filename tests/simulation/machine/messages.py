"""PostgreSQL's protocol, as far as a wire must know it to say where it stands.

Messages are a type byte, four bytes of length (which counts itself) and a body; the first of a
connection has no type byte. Source: PostgreSQL's manual, "Message Formats".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CANCEL = 80877102
"""Instead of a protocol version: what follows names a query to give up."""
_LOCKING = re.compile(r"\bFOR (NO KEY )?(UPDATE|SHARE)\b")
_CHANGED = re.compile(rb"(?:INSERT \d+|UPDATE|DELETE) ([1-9]\d*)")


def parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each whole message: its type, and its body without the length."""
    at, size = 0, len(data)
    while size - at >= 5:
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5])
        if end > size:
            return
        yield data[at : at + 1], data[at + 5 : end]
        at = end


def message(kind: bytes, body: bytes) -> bytes:
    """One message."""
    return kind + (len(body) + 4).to_bytes(4) + body


def query(sql: str) -> bytes:
    """A simple query."""
    return message(b"Q", sql.encode() + b"\0")


def error(code: str, text: str) -> bytes:
    """An ErrorResponse."""
    fields = {"S": "ERROR", "V": "ERROR", "C": code, "M": text}
    body = b"".join(f"{name}{value}\0".encode() for name, value in fields.items())
    return message(b"E", body + b"\0")


IDLE = message(b"Z", b"I")
_READY = IDLE[:-1]
"""ReadyForQuery, outside of a transaction."""


def backend_pid(reply: bytes) -> int:
    """The process of the server that serves this connection, from the answer to its start."""
    return next((int.from_bytes(body[:4]) for kind, body in parts(reply) if kind == b"K"), 0)


@dataclass(frozen=True)
class Outcome:
    """What an answer says."""

    changed: bool
    """A command changed a row."""
    failed: bool


def outcome(reply: bytes) -> Outcome:
    """Of a whole answer."""
    changed = failed = False
    for kind, body in parts(reply):
        changed = changed or (kind == b"C" and _CHANGED.match(body) is not None)
        # What has failed before ends with this, whatever it was asked to end with.
        failed = failed or kind == b"E" or (kind == b"C" and body == b"ROLLBACK\0")
    return Outcome(changed, failed)


@dataclass(frozen=True)
class Asked:
    """What the client has asked for and now waits for.

    :param until: types of message of which one ends the answer; none: the end of the connection.
    :param moment: ``begin``, ``statement`` or ``commit``, where it is one.
    """

    until: bytes
    moment: str = ""

    def answered(self, reply: bytes) -> bool:
        """Whether this is the whole answer."""
        if self.until == b"Z":  # most answers: not looked through each time a part comes
            return reply[-6:-1] == _READY
        return any(kind in self.until for kind, _ in parts(reply))


class Client:
    """Follows what a client sends: which statements it has named, and what it asks for."""

    def __init__(self) -> None:
        self._named: dict[bytes, str] = {}
        self._moment = ""

    def asks(self, data: bytes) -> Asked | None:
        """What must be answered after these messages; ``None``: more of them will come."""
        asked = None
        for kind, body in parts(data):
            if kind == b"P":
                name, sql, _ = body.split(b"\0", 2)
                self._named[name] = _moment_of(sql.decode())
            elif kind == b"B":
                _, name, _ = body.split(b"\0", 2)
                self._moment = self._named.get(name, "")
            elif kind == b"Q":
                asked = Asked(b"Z", _moment_of(body[:-1].decode()))
            elif kind == b"S":
                asked, self._moment = Asked(b"Z", self._moment), ""
            elif kind == b"H":  # a statement was named and described
                asked = Asked(b"TnE")
            elif kind == b"X":
                asked = Asked(b"")
        return asked


def _moment_of(sql: str) -> str:
    verb = sql.lstrip()[:6].upper()
    if verb.startswith("BEGIN"):
        return "begin"
    if verb == "COMMIT":
        return "commit"
    return "statement" if verb in ("INSERT", "UPDATE", "DELETE") or _LOCKING.search(sql) else ""
