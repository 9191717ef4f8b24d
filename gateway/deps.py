"""What the door needs from outside; made once by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from config.catalogue import Catalogue
from config.clock import Clock, Entropy
from config.settings import Settings
from config.units import Address
from gateway.observer import HttpObserver, SilentObserver
from ledger.sources import Source
from ledger.store import Ledger, Tx


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``/readyz``."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether crediting and paying go on, and if not, why."""

    checks: Sequence[Check]

    @property
    def ready(self) -> bool:
        """All checks passed."""
        return all(check.ok for check in self.checks)


class Operations(Protocol):
    """What operators may ask of settlement; those with a ``tx`` act inside it."""

    async def request_run(self, tx: Tx, merchant_id: str | None) -> dict[str, Any]:
        """Enqueue a settlement run; answers ``{id, status, merchant, created_at}``."""
        ...

    async def preview(self, merchant_id: str | None) -> dict[str, Any]:
        """Who would get what now, at which cost, and what would be held back and why."""
        ...

    async def pause(self, tx: Tx, what: str, chain: str | None, reason: str | None) -> None: ...

    async def resume(self, tx: Tx, what: str, chain: str | None) -> None: ...

    async def pauses(self, tx: Tx) -> list[dict[str, Any]]:
        """``{scope, since, reason}`` of everything that is stopped."""
        ...

    async def release_hold(self, tx: Tx, hold_id: str) -> None:
        """:raises NotFoundError: no such hold. :raises ConflictError: released before."""
        ...


@dataclass(frozen=True)
class GatewayDeps:
    """Everything from outside; no private key among it.

    :param admin_key: ``None``: nobody is an admin.
    :param approver_key: of the second person; ``None``: nothing can be approved here.
    :param data_key: 32 bytes from :func:`gateway.webhooks.vault.load_data_key`.
    :param derive: where deposit addresses come from; ``None``: invoices
        cannot be opened here.
    :param refused: addresses that no payout may go to (treasury, sponsors, helper contracts).
    :param crash_guard: outermost middleware; logs what nobody foresaw and answers with
        :func:`gateway.problems.internal_problem`.
    """

    ledger: Ledger
    settings: Settings
    admin_key: str | None = field(repr=False)
    data_key: bytes = field(repr=False)
    derive: Source | None
    clock: Clock
    entropy: Entropy
    readiness: Callable[[], Awaitable[Readiness]]
    metrics_text: Callable[[], Awaitable[bytes]]
    operations: Operations
    observer: HttpObserver = field(default_factory=SilentObserver)
    refused: Collection[Address] = ()
    crash_guard: Middleware | None = None
    approver_key: str | None = field(default=None, repr=False)

    @property
    def catalogue(self) -> Catalogue:
        """Configured chains and tokens."""
        return self.ledger.catalogue


DEPS: web.AppKey[GatewayDeps] = web.AppKey("deps", GatewayDeps)
