"""The chain over HTTP: one thread a connection, bytes straight from memory to the socket.

Plain HTTP/1.1 with keep-alive, no TLS, no compression. ``POST /`` is JSON-RPC,
single or batch; ``POST /control`` sets head and latency and reads the counters.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from benchmarks.replay.answers import Pieces, RefusedError, answer
from benchmarks.replay.chain import Chain


class Request(msgspec.Struct, gc=False):
    """A JSON-RPC call."""

    method: str
    id: int | str | None = None
    params: list[Any] = []


@dataclass
class State:
    """What ``/control`` reads and sets."""

    head: int
    latency: float = 0.0
    """Seconds added to each HTTP request."""
    requests: Counter[str] = field(default_factory=Counter)
    """HTTP requests by what they ask for; a look at the head is a ``poll``."""
    calls: Counter[str] = field(default_factory=Counter)
    """JSON-RPC calls by method, as providers bill them."""
    sent: int = 0


class Server:
    """Listens on 127.0.0.1 as soon as it is made."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._state = State(head=chain.top)
        self._lock = threading.Lock()
        self._decoder = msgspec.json.Decoder(list[Request] | Request)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """No new connections; those that are open end with their clients."""
        self._listener.close()

    def run(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            reader = connection.makefile("rb")
            try:
                while self._exchange(reader, connection):
                    pass
            except OSError:
                return

    def _exchange(self, reader: Any, connection: socket.socket) -> bool:
        line = reader.readline()
        if not line:
            return False
        length = 0
        while (header := reader.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = reader.read(length)
        if len(body) < length:
            return False  # the client went away
        if line.split(b" ")[1] == b"/control":
            pieces: Pieces = [self._control(msgspec.json.decode(body))]
        else:
            pieces = self._rpc(body)
            if self._state.latency:
                time.sleep(self._state.latency)
        self._send(connection, pieces)
        return True

    def _send(self, connection: socket.socket, pieces: Pieces) -> None:
        size = sum(len(piece) for piece in pieces)
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        ) % size
        if size < 4_000_000 and len(pieces) > 3:
            connection.sendall(head + b"".join(pieces))
            return
        connection.sendall(head)
        for piece in pieces:
            connection.sendall(piece)

    def _rpc(self, body: bytes) -> Pieces:
        asked = self._decoder.decode(body)
        batch = asked if isinstance(asked, list) else [asked]
        answers = [self._one(request) for request in batch]
        with self._lock:
            self._state.requests[_kind(batch[0])] += 1
            self._state.calls.update(request.method for request in batch)
            self._state.sent += sum(len(piece) for pieces in answers for piece in pieces)
        if not isinstance(asked, list):
            return answers[0]
        pieces: Pieces = [b"["]
        for index, found in enumerate(answers):
            pieces += [b",", *found] if index else found
        return [*pieces, b"]"]

    def _one(self, request: Request) -> Pieces:
        own_id = msgspec.json.encode(request.id)
        try:
            result = answer(self._chain, self._state.head, request.method, request.params)
        except RefusedError as error:
            text = msgspec.json.encode({"code": -32601, "message": str(error)})
            return [b'{"jsonrpc":"2.0","id":', own_id, b',"error":', text, b"}"]
        return [b'{"jsonrpc":"2.0","id":' + own_id + b',"result":', *result, b"}"]

    def _control(self, wanted: dict[str, Any]) -> bytes:
        with self._lock:
            state = self._state
            state.head = min(wanted.get("head", state.head), self._chain.top)
            state.latency = wanted.get("latency", state.latency)
            told = {
                "head": state.head,
                "requests": dict(state.requests),
                "calls": dict(state.calls),
                "sent": state.sent,
            }
            if wanted.get("reset"):
                state.requests.clear()
                state.calls.clear()
                state.sent = 0
        return msgspec.json.encode(told)


def _kind(request: Request) -> str:
    if request.method == "eth_getBlockByNumber" and not request.params[0].startswith("0x"):
        return "poll"
    return request.method
