"""The daemon, as its own composition root puts it together, on edges that are simulated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request
from sqlalchemy.ext.asyncio import AsyncEngine

from bursar.compose import House, Outside, open_house
from bursar.daemon import Daemon
from bursar.door import Door
from bursar.metrics.families import Families
from bursar.metrics.labels import begin_at_zero
from bursar.metrics.process import RpcMetrics
from bursar.startup import prepare_database
from chain.rpc.transport import Transport
from config.errors import BursarError
from config.settings import Secrets, Settings
from gateway.webhooks.sender import Sender
from tests.simulation.machine.clock import SimClock, SimEntropy
from tests.simulation.machine.loop import Process, spawn

COMMAND_SECONDS = 300.0
"""An operator's patience with a command that does not come back."""


class SimDoor(Door):
    """Listens to nobody: the simulation calls the application itself."""

    def __init__(self) -> None:
        self.url = "https://pay.example"

    async def close(self) -> None: ...


@dataclass
class Running:
    """One start of the daemon."""

    process: Process
    clock: SimClock
    stop: asyncio.Event
    task: asyncio.Task[None] | None = None
    app: web.Application | None = None

    @property
    def serves(self) -> bool:
        return self.app is not None and not self.process.dead

    async def call(
        self, method: str, path: str, key: str, body: Any = None, **headers: str
    ) -> tuple[int, Any] | None:
        """The gateway's answer; ``None`` where the process died, or takes longer than a minute."""
        if not self.serves or self.process.frozen:
            return None
        task = spawn(self.process, self._handle(method, path, key, body, headers))
        done, _ = await asyncio.wait({task}, timeout=60.0)
        return task.result() if done else None

    async def _handle(
        self, method: str, path: str, key: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        assert self.app is not None
        payload = StreamReader(_NO_PROTOCOL, limit=2**20)
        raw = b"" if body is None else json.dumps(body).encode()
        payload.feed_data(raw)
        payload.feed_eof()
        request = make_mocked_request(
            method,
            path,
            headers={
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/json",
                "Content-Length": str(len(raw)),
                **headers,
            },
            payload=payload,
            app=self.app,
        )
        response = await self.app._handle(request)
        assert isinstance(response, web.Response)
        assert response.body is None or isinstance(response.body, bytes)
        return response.status, json.loads(response.body or b"null")


class _NoProtocol:
    """What a stream asks of its connection; nothing is ever paused here."""

    _reading_paused = False

    def pause_reading(self, **_kwargs: Any) -> None: ...

    def resume_reading(self, **_kwargs: Any) -> None: ...


_NO_PROTOCOL: Any = _NoProtocol()


@dataclass(frozen=True)
class Edges:
    """What stands around the daemon."""

    transport: Transport
    sender: Sender
    engine: Callable[[str], AsyncEngine]
    slack: Callable[[float], float]


async def in_house(
    name: str, number: int, seed: int, settings: Settings, secrets: Secrets, edges: Edges,
    work: Callable[[House], Awaitable[Any]],
) -> bool:  # fmt: skip
    """Run an operator's command in a process of its own; ``False``: it failed or died."""
    process = Process(name, number)
    clock = SimClock(asyncio.get_running_loop(), edges.slack)
    outside = _outside(edges, clock, SimEntropy(seed, f"{name}.{number}"))

    async def run() -> None:
        async with open_house(settings, secrets, outside) as house:
            await work(house)

    task = spawn(process, run())
    await asyncio.wait({task}, timeout=COMMAND_SECONDS)
    process.kill()
    if not task.done():
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return False
    error = task.exception()
    if error is not None and not isinstance(error, BursarError):
        raise error
    return error is None


def _outside(edges: Edges, clock: SimClock, entropy: SimEntropy) -> Outside:
    @asynccontextmanager
    async def transport() -> AsyncIterator[Transport]:
        yield edges.transport

    return Outside(
        clock=clock,
        entropy=entropy,
        transport=transport,
        engine=edges.engine,
    )


def start(
    name: str, number: int, seed: int, settings: Settings, secrets: Secrets, edges: Edges
) -> Running:
    """Begin a process; it runs until it is killed, told to stop, or gives up."""
    process = Process(name, number)
    clock = SimClock(asyncio.get_running_loop(), edges.slack)
    running = Running(process, clock, asyncio.Event())
    entropy = SimEntropy(seed, f"{name}.{number}")

    async def listen(app: web.Application, http: Any, *, any_port: bool) -> Door:
        app.freeze()
        await app.startup()
        running.app = app
        return SimDoor()

    @asynccontextmanager
    async def sender(*, allow_private: bool) -> AsyncIterator[Sender]:
        yield edges.sender

    outside = replace(_outside(edges, clock, entropy), door=listen, webhooks=sender)
    running.task = spawn(process, _serve(settings, secrets, outside, running.stop))
    return running


async def _serve(
    settings: Settings, secrets: Secrets, outside: Outside, stop: asyncio.Event
) -> None:
    """:func:`bursar.daemon.serve` without signals."""
    families = Families()
    async with open_house(settings, secrets, outside, observer=RpcMetrics(families)) as house:
        begin_at_zero(families, house.catalogue)
        await prepare_database(house)
        await Daemon(house, "all", families, stop, asyncio.Event()).run()
