"""One signed POST to one endpoint, and what its answer means."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from standardwebhooks.webhooks import Webhook

from gateway.webhooks.names import NameLookups
from gateway.webhooks.targets import JudgingResolver, RefusedTargetError, check_literal

TIMEOUT_SECONDS: Final = 10.0
_MAX_ERROR: Final = 300


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the body's bytes are those that are signed."""

    url: str
    event_id: str
    body: bytes
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Message({self.event_id})"


@dataclass(frozen=True, slots=True)
class Reply:
    """``ok`` for 2xx, ``gone`` for 410, ``failed`` for everything else."""

    outcome: Literal["ok", "gone", "failed"]
    status: int | None = None
    error: str | None = None


class Sender(Protocol):
    """Sends a message; never raises for what the other side does."""

    async def send(self, message: Message, now: datetime) -> Reply: ...


def message_body(event: dict[str, object]) -> bytes:
    """The JSON of an event, the same bytes at every attempt."""
    return msgspec.json.encode(event)


def headers_of(message: Message, now: datetime) -> dict[str, str]:
    """Standard Webhooks: id, timestamp, and a signature per secret (several after a rotation)."""
    text = message.body.decode()
    signatures = [Webhook(s).sign(message.event_id, now, text) for s in message.secrets]
    return {
        "webhook-id": message.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
        "user-agent": "Bursar-Webhooks/1",
    }


def judged(status: int) -> Reply:
    """What a status means; pure."""
    if 200 <= status < 300:
        return Reply("ok", status)
    if status == 410:
        return Reply("gone", status, "the endpoint answered 410 Gone")
    hint = " (redirects are not followed)" if 300 <= status < 400 else ""
    return Reply("failed", status, f"the endpoint answered {status}{hint}")


class HttpSender:
    """Sends over aiohttp to judged addresses only."""

    def __init__(self, session: aiohttp.ClientSession, *, allow_private: bool) -> None:
        self._session = session
        self._allow_private = allow_private

    async def send(self, message: Message, now: datetime) -> Reply:
        """One attempt of at most ten seconds; the answer's body is not read."""
        try:
            check_literal(message.url, allow_private=self._allow_private)
            async with self._session.post(
                message.url,
                data=message.body,
                headers=headers_of(message, now),
                allow_redirects=False,
            ) as response:
                reply = judged(response.status)
                response.close()
                return reply
        except TimeoutError:
            return Reply("failed", error=f"no answer within {TIMEOUT_SECONDS:.0f} s")
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            return Reply("failed", error=_said(error))


def _said(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RefusedTargetError):
            return f"refused: {cause}"
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    return f"{type(error).__name__}: {error}"[:_MAX_ERROR]


@asynccontextmanager
async def http_sender(
    *, allow_private: bool, resolver: AbstractResolver | None = None
) -> AsyncIterator[HttpSender]:
    """A sender with connections of its own: no proxy, no cookies, no DNS cache, no redirects."""
    judging = JudgingResolver(resolver or NameLookups(), allow_private=allow_private)
    connector = aiohttp.TCPConnector(
        resolver=judging, use_dns_cache=False, limit=256, limit_per_host=32, keepalive_timeout=20
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        auto_decompress=False,
        max_field_size=16_384,
        trust_env=False,
    ) as session:
        yield HttpSender(session, allow_private=allow_private)
