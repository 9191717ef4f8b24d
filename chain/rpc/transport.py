"""Bytes to a URL and bytes back: the only part of the pool that touches a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import aiohttp

MAX_REPLY_BYTES: Final = 160 * 1024 * 1024
"""The memory bound of one reply; the largest limit seen at a provider is 150 MB a query."""

_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}


class TransportError(Exception):
    """No complete HTTP answer. The text names the kind of failure only: URLs hold API keys."""


class ReplyTooLargeError(TransportError):
    """The body passed :data:`MAX_REPLY_BYTES` and was dropped."""


class Transport(Protocol):
    """What a simulator replaces."""

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109 - the transport is where a timeout is kept
    ) -> tuple[int, Mapping[str, str], bytes]:
        """HTTP status, headers (names in lower case), whole body.

        :param timeout: seconds for the whole exchange.
        :raises TimeoutError: it took longer.
        :raises TransportError: no connection, or it broke before the body's end.
        """
        ...


class AiohttpTransport:
    """Keep-alive over a session given from outside, which owns connection limits and TLS."""

    def __init__(
        self, session: aiohttp.ClientSession, *, max_reply_bytes: int = MAX_REPLY_BYTES
    ) -> None:
        self._session = session
        self._max = max_reply_bytes

    async def post(
        self,
        url: str,
        body: bytes,
        timeout: float,  # noqa: ASYNC109 - the transport is where a timeout is kept
    ) -> tuple[int, Mapping[str, str], bytes]:
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.post(
                url, data=body, headers=_HEADERS, timeout=limit, allow_redirects=False
            ) as response:
                content = await self._read(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return response.status, headers, content
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            # The class name only: aiohttp puts the URL into most messages.
            raise TransportError(type(error).__name__) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        declared = response.content_length
        if declared is not None and declared > self._max:
            raise ReplyTooLargeError("ReplyTooLarge")
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._max:
                raise ReplyTooLargeError("ReplyTooLarge")
            parts.append(part)
        return b"".join(parts)
