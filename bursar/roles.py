"""What each role holds and does: keys, applications, tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from bursar.compose import House
from bursar.metrics.families import Families
from bursar.supervision import Work
from gateway.deps import Readiness


@dataclass
class Roles:
    """The parts of one process."""

    house: House
    role: str
    families: Families

    @classmethod
    async def prepare(cls, house: House, role: str, families: Families) -> Roles:
        return cls(house, role, families)

    def gateway_app(
        self,
        readiness: Callable[[], Awaitable[Readiness]],
        metrics: Callable[[], Awaitable[bytes]],
    ) -> web.Application:
        raise NotImplementedError

    def tasks(self, stopping: Callable[[], bool]) -> Iterator[tuple[str, str, Work]]:
        yield from ()

    async def release(self) -> None:
        pass
