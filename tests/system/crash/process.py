"""The daemon as a process that can be told to kill itself at a persistence point.

``python -m tests.system.crash.process run`` is ``bursar run`` with less patience and
shorter leases, so that a test need not wait as a house must. ``CRASH_AT`` =
``payouts:P2:before``: ``kill -9`` right before the first commit of P2 in that lane;
``after``: once it is committed; ``sweeps:send:after``: when the node has the bytes.
Nothing in the product knows of it: its parts are wrapped where they are put together.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

import bursar.compose
import bursar.roles
import settlement.lanes.dispatch
import settlement.lanes.following
import settlement.lanes.sending
import settlement.payouts
import settlement.service
import settlement.sweeps
import watcher.leader
from bursar.cli import main
from chain.client import ChainClient
from chain.send import SendOutcome, SendResult
from ledger.store import Ledger, Tx
from settlement.context import Policy
from settlement.verdicts import Patience

LEASE: Final = timedelta(seconds=3)
PATIENCE: Final = Patience(timedelta(seconds=2), timedelta(seconds=4))

# What is called in the transaction of each point, and how its lane is told from the arguments.
PLACES: Final[tuple[tuple[Any, str, str, Callable[..., str]], ...]] = (
    (settlement.payouts, "seal_batch", "P1", lambda _, new: new.lane),
    (settlement.sweeps, "seal_batch", "P1", lambda _, new: new.lane),
    (settlement.lanes.dispatch, "take_nonce", "P2", lambda _, lane: lane.lane),
    (settlement.lanes.sending, "note_broadcast", "P3", lambda _, attempt, *__: attempt.lane),
    (settlement.lanes.following, "store_attempt", "P4", lambda _, new: new.lane),
    (settlement.lanes.following, "_record_mined", "P5", lambda *a: a[2].lane),
    (settlement.lanes.following, "finish_attempt", "P6", lambda *a: a[3].lane),
)
POINTS: Final = ("P1", "P2", "send", "P3", "P4", "P5", "P6")

_passing: dict[int, str] = {}
"""Points that open transactions pass, by the identity of their connection."""


_swallowed: set[bytes] = set()


def die() -> None:
    """What a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingLedger(Ledger):
    """Dies on the wanted side of the commit of the wanted point."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        point = None
        async with super().transaction() as tx:
            yield tx
            point = _passing.pop(id(tx.conn), None)
            if point is not None and os.environ.get("CRASH_AT") == f"{point}:before":
                die()
        if point is not None and os.environ.get("CRASH_AT") == f"{point}:after":
            die()


def _mark(module: Any, name: str, point: str, lane_of: Callable[..., str]) -> None:
    inner: Callable[..., Awaitable[Any]] = getattr(module, name)

    async def marked(tx: Tx, *arguments: Any) -> Any:
        _passing[id(tx.conn)] = f"{lane_of(tx, *arguments)}:{point}"
        return await inner(tx, *arguments)

    setattr(module, name, marked)


class DeafClient(ChainClient):
    """What was swallowed never reaches a node: it will need a replacement."""

    async def send_raw(self, raw: bytes, *, everywhere: bool = False) -> SendResult:
        if raw in _swallowed:
            return SendResult(SendOutcome.unknown, "")
        return await super().send_raw(raw, everywhere=everywhere)


def _around_the_broadcast() -> None:
    inner = settlement.lanes.sending.write_ahead
    wanted = os.environ.get("CRASH_AT", "")

    async def before(ctx: Any, attempt: Any, raw: bytes) -> None:
        await inner(ctx, attempt, raw)
        if wanted.startswith(f"{attempt.lane}:P4") and attempt.attempt == 0:
            _swallowed.add(raw)
        if wanted == f"{attempt.lane}:send:before":
            die()

    noted = settlement.lanes.sending.note_broadcast

    async def after(tx: Tx, attempt: Any, reason: str | None) -> None:
        if wanted == f"{attempt.lane}:send:after":
            die()
        await noted(tx, attempt, reason)

    settlement.lanes.sending.write_ahead = before  # type: ignore[assignment]
    settlement.lanes.sending.note_broadcast = after


def compose() -> None:
    """Put the wrapped parts where the daemon is composed."""
    bursar.compose.Ledger = DyingLedger  # type: ignore[misc]
    bursar.compose.ChainClient = DeafClient  # type: ignore[misc]
    bursar.roles.Policy = partial(  # type: ignore[misc,assignment]
        Policy, patience=PATIENCE, gather=timedelta()
    )
    for module in (settlement.service, watcher.leader):
        module.DEFAULT_TTL = LEASE  # type: ignore[attr-defined]
    watcher.leader.acquire = partial(watcher.leader.acquire, ttl=LEASE)  # type: ignore[attr-defined]
    settlement.service.RENEW_EVERY = LEASE / 3
    for place in PLACES:
        _mark(*place)
    _around_the_broadcast()


if __name__ == "__main__":
    compose()
    sys.argv[0] = "bursar"
    main()
