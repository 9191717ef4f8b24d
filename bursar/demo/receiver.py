"""The shops' own servers: they take webhooks and believe only signatures that verify.

Verified with the public ``standardwebhooks`` library, unchanged, as any
merchant would.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bursar.demo.board import Board


class Receiver:
    """Listens on 127.0.0.1 while the context is open; counts into the board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._secrets: dict[str, str] = {}
        self._seen: set[str] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    def url(self, shop: int) -> str:
        """Where a shop's webhooks go."""
        return f"http://127.0.0.1:{self._port}/shops/{shop}"

    def trust(self, shop: int, secret: str) -> None:
        """From now on, the secret that this shop verifies with."""
        self._secrets[str(shop)] = secret

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/shops/{shop}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        secret = self._secrets.get(request.match_info["shop"])
        body = await request.read()
        try:
            event = Webhook(secret or "").verify(body, dict(request.headers)) if secret else None
        except WebhookVerificationError:
            event = None
        if event is None:
            self._board.webhooks_refused += 1
            return web.Response(status=401)
        if event["id"] in self._seen:
            self._board.webhooks_repeated += 1
        else:
            self._seen.add(event["id"])
            self._board.webhooks[event["type"]] += 1
        return web.Response(status=204)
