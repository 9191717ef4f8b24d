"""WebSockets as the head signal needs them: text out, text in. The only part on a wire."""

from __future__ import annotations

from typing import Final, Protocol

import aiohttp

from chain.rpc.transport import TransportError

MAX_FRAME_BYTES: Final = 256 * 1024
"""A header with its bloom is 2 KB; what is larger closes the socket."""


class Socket(Protocol):
    """One connection."""

    async def send(self, text: str) -> None:
        """:raises TransportError: the connection is gone."""
        ...

    async def receive(self) -> str:
        """The next text frame; ``""`` for one that is no text.

        :raises TransportError: closed, broken, or a frame over the limit.
        """
        ...

    async def close(self) -> None:
        """Harmless when it is gone already."""
        ...


class Sockets(Protocol):
    """What a simulator replaces."""

    async def open(self, url: str) -> Socket:
        """:raises TransportError: no connection, or no WebSocket there."""
        ...


class AiohttpSockets:
    """Over a session given from outside, which owns TLS and proxies."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def open(self, url: str) -> Socket:
        try:
            opened = await self._session.ws_connect(
                url, max_msg_size=MAX_FRAME_BYTES, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The class name only: the URL may hold a key.
            raise TransportError(type(error).__name__) from None
        return _AiohttpSocket(opened)


class _AiohttpSocket:
    def __init__(self, opened: aiohttp.ClientWebSocketResponse) -> None:
        self._opened = opened

    async def send(self, text: str) -> None:
        try:
            await self._opened.send_str(text)
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(type(error).__name__) from None

    async def receive(self) -> str:
        message = await self._opened.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            return ""
        raise TransportError(message.type.name)

    async def close(self) -> None:
        await self._opened.close()
