"""Serving the door over TCP: problems for broken HTTP too, and no patience for slow-loris.

aiohttp waits for the first request of a connection as long as the client
likes, and answers what its parser refuses with plain text. Both are changed
here, in the one place that knows its insides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.problems import Code, ProblemError, internal_problem, problem_response

FIRST_REQUEST_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 75.0
LINGERING_SECONDS: Final = 2.0
"""How long the rest of a body is read and dropped after its request was answered early."""
SHUTDOWN_SECONDS: Final = 8.0
"""What open requests may take once the server stops; long polls and streams end at once."""
BACKLOG: Final = 1024


class Connection(RequestHandler):
    """One connection; given up when its first request does not come."""

    __slots__ = ("_first_timer",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._first_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._first_timer = self._loop.call_later(FIRST_REQUEST_SECONDS, self._give_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._first_timer is not None:
            self._first_timer.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self._request_count == 0 and not self._messages:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's words, which may quote the client
    ) -> web.StreamResponse:
        """What the parser refused, or a bug that no guard caught: a problem document."""
        if status >= 500 or request.writer.output_size > 0:
            self.log_exception("request_crashed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: nothing else can be said")
        problem = (
            internal_problem()
            if status >= 500
            else ProblemError(Code.BAD_REQUEST, "this is not HTTP as it should be")
        )
        response = problem_response(request, problem)
        response.headers["Server"] = "bursar"
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


@asynccontextmanager
async def start_server(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve ``app`` while the block runs; gives the port (of use when ``port`` is 0).

    :raises OSError: the address is in use or not ours.
    """
    runner = _Runner(
        app,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGERING_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        # Unpacking is left out: a kilobyte may unpack to a gigabyte.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
