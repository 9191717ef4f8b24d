"""A TCP proxy before PostgreSQL that cuts its connections where a test says."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

import sqlalchemy as sa


class SeverableProxy:
    """``url`` leads through it. Cut: open connections are aborted, new ones at once."""

    def __init__(self, database_url: str) -> None:
        self._target = sa.make_url(database_url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._left: int | None = None
        self.url = ""

    def cut_after(self, sent: int) -> None:
        """Abort everything once the client has sent so many bytes more; 0: now."""
        self._left = sent
        if sent == 0:
            self._sever()

    def heal(self) -> None:
        self._left = None

    def _sever(self) -> None:
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._target.set(host="127.0.0.1", port=port).render_as_string(
            hide_password=False
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._sever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._left == 0:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._target.host, self._target.port)
        self._open |= {writer, back}
        await asyncio.gather(self._pump(reader, back, True), self._pump(there, writer, False))

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counted: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if counted and self._left is not None:
                    self._left = max(0, self._left - len(data))
                    if self._left == 0:
                        self._sever()
                        return
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._open.discard(sink)
