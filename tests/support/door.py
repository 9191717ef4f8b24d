"""A served door to test at: the real application over TCP, on either database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from config.clock import SystemClock, SystemEntropy
from config.errors import ConflictError, NotFoundError
from config.settings import HttpSettings, RateLimit, SecuritySettings, Settings
from gateway.app import create_app
from gateway.deps import Check, GatewayDeps, Readiness
from gateway.problems import internal_problem, problem_response
from gateway.server import start_server
from ledger.pauses import active_pauses, pause, resume, scope_of
from ledger.schema import holds
from ledger.store import Ledger, Tx, make_engine
from ledger.views import view_time
from tests.support.books import deposit_addresses, test_catalogue

ADMIN_KEY = "admin-key-for-tests"
TREASURY = bytes.fromhex("aa" * 20)
crashes: list[BaseException] = []


class FakeOperations:
    """Settlement as far as the door sees it."""

    async def request_run(self, tx: Tx, merchant_id: str | None) -> dict[str, Any]:
        return {
            "id": tx.new_id("run"),
            "status": "requested",
            "merchant": merchant_id,
            "created_at": view_time(tx.now),
        }

    async def preview(self, merchant_id: str | None) -> dict[str, Any]:
        return {"merchant": merchant_id, "payouts": []}

    async def pause(self, tx: Tx, what: str, chain: str | None, reason: str | None) -> None:
        await pause(tx, scope_of(what, chain), reason)  # type: ignore[arg-type]

    async def resume(self, tx: Tx, what: str, chain: str | None) -> None:
        await resume(tx, scope_of(what, chain))  # type: ignore[arg-type]

    async def pauses(self, tx: Tx) -> list[dict[str, Any]]:
        return [
            {"scope": p.scope, "since": view_time(p.since), "reason": p.reason}
            for p in await active_pauses(tx)
        ]

    async def release_hold(self, tx: Tx, hold_id: str) -> None:
        import sqlalchemy as sa

        row = (await tx.conn.execute(sa.select(holds).where(holds.c.id == hold_id))).first()
        if row is None:
            raise NotFoundError("no such hold")
        if row.released_at is not None:
            raise ConflictError("the hold was released before")
        await tx.conn.execute(
            holds.update()
            .where(holds.c.id == hold_id)
            .values(released_at=tx.now, resolution="released")
        )


@web.middleware
async def crash_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the composition root's guard does, and keeps what it caught for the test."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - what this middleware is for
        crashes.append(error)
        return problem_response(request, internal_problem())


@dataclass
class Requests:
    """What metrics would be told."""

    seen: list[tuple[str, int]] = field(default_factory=list)
    deliveries: list[str] = field(default_factory=list)

    def on_request(self, route: str, code: int, seconds: float) -> None:
        self.seen.append((route, code))

    def on_delivery(self, outcome: str) -> None:
        self.deliveries.append(outcome)


@dataclass
class Answer:
    """Status, headers, and the body as JSON (or text)."""

    status: int
    headers: Any
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


@dataclass
class Door:
    """A client of the served application."""

    base: str
    ledger: Ledger
    session: aiohttp.ClientSession
    observer: Requests
    deps: GatewayDeps
    app: web.Application

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        key: str | None = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        async with self.session.request(
            method, self.base + path, json=json, data=data, headers=sent, allow_redirects=False
        ) as response:
            body = (
                await response.json(content_type=None)
                if "json" in response.content_type
                else await response.text()
            )
            return Answer(response.status, response.headers, body)

    async def merchant(self, name: str = "Shop") -> str:
        """A new merchant's API key."""
        made = await self.call("POST", "/v1/admin/merchants", {"name": name}, key=ADMIN_KEY)
        assert made.status == 201, made
        return str(made.body["api_key"])

    async def invoice(self, key: str, **fields: Any) -> dict[str, Any]:
        made = await self.call(
            "POST", "/v1/invoices", {"amount": "10", "currency": "USD", **fields}, key=key
        )
        assert made.status == 201, made
        return dict(made.body)


def door_settings(**changes: Any) -> Settings:
    """Configured as the tests' two chains, with a wide rate limit."""
    return Settings(
        http=HttpSettings(rate_limit=RateLimit(requests_per_second=100_000, burst=100_000)),
        security=SecuritySettings.model_validate({"destination_cooling_off": "0s"}),
        **changes,
    )


@asynccontextmanager
async def open_door(
    url: str, settings: Settings | None = None, **changes: Any
) -> AsyncIterator[Door]:
    """Serve on a free port of this machine."""
    settings = settings or door_settings()
    clock, entropy = SystemClock(), SystemEntropy()
    ledger = Ledger(
        make_engine(url),
        clock=clock,
        entropy=entropy,
        catalogue=test_catalogue(),
        public_url=settings.http.public_url,
    )

    async def readiness() -> Readiness:
        return Readiness([Check("database", True)])

    async def metrics_text() -> bytes:
        return b"# none\n"

    observer = Requests()
    given: dict[str, Any] = {
        "ledger": ledger,
        "settings": settings,
        "admin_key": ADMIN_KEY,
        "data_key": b"k" * 32,
        "derive": deposit_addresses,
        "clock": clock,
        "entropy": entropy,
        "readiness": readiness,
        "metrics_text": metrics_text,
        "operations": FakeOperations(),
        "observer": observer,
        "refused": {TREASURY},
        "crash_guard": crash_guard,
        **changes,
    }
    crashes.clear()
    deps = GatewayDeps(**given)
    app = create_app(deps)
    async with start_server(app, "127.0.0.1", 0) as port:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Door(f"http://127.0.0.1:{port}", ledger, session, observer, deps, app)
    await ledger.dispose()
    assert not crashes, crashes
