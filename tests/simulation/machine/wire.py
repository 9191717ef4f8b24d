"""PostgreSQL over a real socket, as a step of virtual time.

The driver is the product's own. What it writes is sent at once and its answer awaited there and
then, so that one statement at a time is on the wire and no virtual time passes meanwhile: the
server decides nothing by its speed. A statement that waits for a lock is left waiting, others go
on, and each of their answers is followed by a look at whether the lock is free by now.

A process that dies closes its sockets as the kernel would; what it leaves open in the server is
gone before anything else happens.
"""

from __future__ import annotations

import asyncio
import contextvars
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from tests.simulation.machine import messages
from tests.simulation.machine.loop import PROCESS, Process

LOOK = 0.02
"""Real seconds without an answer after which the server is asked whether the query waits.

Longer than ``DEADLOCK_MS``: a deadlock is an answer.
"""
DEADLOCK_MS = 5
STUCK = 120.0
"""Real seconds for which an answer that waits for no lock may take."""
CHUNK = 1 << 20


class Moments(Protocol):
    """Told of each moment at which a database can fail or a process die."""

    def on_wire(self, process: Process, moment: str) -> str:
        """``begin``, ``statement``, ``commit`` before they are sent, ``committed`` after it.

        ``""``, or what happens: ``dies``, ``lost`` (the connection), ``refused``.
        """
        ...

    def delay(self, process: Process) -> float:
        """Virtual seconds that the answer is under way."""
        ...

    def changed(self, process: Process) -> None:
        """A commit that changed something is in the image."""
        ...


class Server(Protocol):
    """What the server tells others about its sessions."""

    def waits(self, pid: int) -> bool:
        """Whether it waits for a lock that another session holds."""
        ...

    def end(self, pid: int) -> None:
        """Make an end of a session that waits for a lock and cannot see its client gone."""
        ...


class Network:
    """Every connection of the world to its one server; a loop's ``network``."""

    def __init__(self, server: Server, moments: Moments, loop: asyncio.AbstractEventLoop) -> None:
        self.server, self.moments, self.loop = server, moments, loop
        self.waiting: list[Wire] = []
        """Whose statement waits for a lock, in the order in which they began to."""
        self._looking = False

    def connect(self, factory: Callable[[], Any], host: str, port: int) -> tuple[Any, Any]:
        """As ``loop.create_connection``; nothing of it takes time."""
        process = PROCESS.get()
        assert process is not None, "only a process of the simulation has a database"
        protocol = factory()
        wire = Wire(self, socket.create_connection((host, port)), protocol, process)
        protocol.connection_made(wire)
        return wire, protocol

    def look(self) -> bool:
        """Whether somebody who waited has an answer, or an end, by now."""
        if self._looking:
            return False
        self._looking, before = True, len(self.waiting)
        try:
            for wire in list(self.waiting):
                if wire in self.waiting and (wire.readable(0) or not self.server.waits(wire.pid)):
                    self.waiting.remove(wire)
                    wire.await_answer()
        finally:
            self._looking = False
        return len(self.waiting) < before

    def cancel(self, pid: int, request: bytes, sock: socket.socket) -> None:
        """Give up a query; one that is answered already is not disturbed."""
        wire = next((wire for wire in self.waiting if wire.pid == pid), None)
        if wire is None:
            return
        sock.sendall(request)
        _drain(sock)
        if not wire.readable(STUCK):
            raise TimeoutError("a query that was given up has no end")
        self.look()


class Wire(asyncio.Transport):
    """One connection; asyncpg's transport."""

    def __init__(
        self, network: Network, sock: socket.socket, protocol: Any, process: Process
    ) -> None:
        super().__init__({"socket": sock})
        self.pid = 0
        self._network, self._sock, self._protocol = network, sock, protocol
        self._process, self._context = process, contextvars.copy_context()
        self._client = messages.Client()
        self._unsent = self._answer = b""
        self._asked: messages.Asked | None = None
        self._open, self._changed = True, False
        self._eof = False
        micros = round(LOOK * 1e6)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, micros))
        process.at_death.append(self._hang_up)

    # --- what asyncpg calls --------------------------------------------------------------

    def is_closing(self) -> bool:
        return not self._open

    def write(self, data: Any) -> None:
        try:
            self._write(bytes(data))
        except Exception as error:
            # asyncpg would make an error of the database of it.
            found = {"message": "the wire to PostgreSQL", "exception": error}
            self._network.loop.call_exception_handler(found)
            raise

    def _write(self, data: bytes) -> None:
        if not self._open or self._process.dead:
            return
        self._unsent += data
        if self.pid:
            self._asked = self._client.asks(self._unsent)
        else:
            self._asked = self._greeting(self._unsent)
        if self._asked is not None:
            request, self._unsent = self._unsent, b""
            self._exchange(request, self._asked)

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    # --- asking and answering ------------------------------------------------------------

    def _greeting(self, data: bytes) -> messages.Asked | None:
        if int.from_bytes(data[4:8]) != messages.CANCEL:
            return messages.Asked(b"ZE")
        self._network.cancel(int.from_bytes(data[8:12]), data, self._sock)
        self._lose(None)
        return None

    def _exchange(self, request: bytes, asked: messages.Asked) -> None:
        if not asked.until:
            self._sock.sendall(request)
            self._lose(None)
            return
        moment = asked.moment
        if moment == "commit" and not self._changed:
            moment = ""
        fate = self._network.moments.on_wire(self._process, moment) if moment else ""
        if fate == "dies":
            self._process.kill()
        elif fate == "lost":
            self._lose(ConnectionResetError("Connection reset by peer"))
        elif fate == "refused":
            self._refuse(moment)
        else:
            self._sock.sendall(request)
            self.await_answer()

    def _refuse(self, moment: str) -> None:
        """The server says no: a statement fails, or what should stay does not."""
        if moment == "statement":
            code = "RAISE EXCEPTION USING ERRCODE = ''53100'', MESSAGE = ''No space left''"
            self._sock.sendall(messages.query(f"DO 'BEGIN {code}; END'"))
            self.await_answer()
            return
        self._sock.sendall(messages.query("ROLLBACK"))
        self._receive()
        self._answer = messages.error("53100", "could not write: No space left on device")
        self._answer += messages.IDLE
        self._finish()

    def await_answer(self) -> None:
        """Until it is there, or waits for a lock."""
        if self._receive():
            self._finish()
        elif not self._eof:
            self._network.waiting.append(self)

    def _receive(self) -> bool:
        """Read the answer; ``False``: it will not come now."""
        assert self._asked is not None
        began, waited = time.monotonic(), 0
        while not self._asked.answered(self._answer):
            with suppress(BlockingIOError):
                part = self._sock.recv(CHUNK)
                if not part:
                    self._eof = True
                    self._finish()
                    return False
                self._answer += part
                continue
            waited = waited + 1 if self._network.server.waits(self.pid) else 0
            if waited > 1:
                return False
            if time.monotonic() - began > STUCK:
                raise TimeoutError("PostgreSQL does not answer")
        return True

    def readable(self, seconds: float) -> bool:
        """Whether there is something to read, within so many real seconds."""
        return bool(select.select([self._sock], [], [], seconds)[0])

    def _finish(self) -> None:
        """The answer is there, whole or up to the end of the connection."""
        answer, asked = self._answer, self._asked
        assert asked is not None
        self._answer, self._asked = b"", None
        if not self.pid:
            self.pid = messages.backend_pid(answer)
        outcome = messages.outcome(answer)
        kept = self._changed and not outcome.failed
        fate = self._committed() if kept and asked.moment == "commit" else ""
        over = asked.moment in ("begin", "commit")
        self._changed = not over and (self._changed or outcome.changed)
        if fate == "dies":
            self._process.kill()
        elif fate == "lost" or self._eof:
            self._lose(ConnectionResetError("Connection reset by peer"))
        else:
            self._later(self._protocol.data_received, answer)
            self._network.look()

    def _committed(self) -> str:
        moments = self._network.moments
        moments.changed(self._process)
        return moments.on_wire(self._process, "committed")

    def _later(self, callback: Callable[..., None], *given: Any) -> None:
        loop, delay = self._network.loop, self._network.moments.delay(self._process)
        if delay:
            loop.call_later(delay, callback, *given, context=self._context)
        else:
            loop.call_soon(callback, *given, context=self._context)

    # --- its end -------------------------------------------------------------------------

    def _lose(self, error: Exception | None) -> None:
        """The client is told of it."""
        if self._open:
            self._hang_up()
            loop = self._network.loop
            loop.call_soon(self._protocol.connection_lost, error, context=self._context)

    def _hang_up(self) -> None:
        """Close it, and wait until the session is gone: its transaction and its locks with it."""
        if not self._open:
            return
        self._open = False
        if self in self._network.waiting:
            self._network.waiting.remove(self)
            self._network.server.end(self.pid)
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            _drain(self._sock)
        self._sock.close()
        self._network.look()


def _drain(sock: socket.socket) -> None:
    """Until the server closes it."""
    while select.select([sock], [], [], STUCK)[0] and sock.recv(CHUNK):
        pass
