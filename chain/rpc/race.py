"""One request given to a second provider when the first is slow: the first good answer counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from chain.racing import let_go
from chain.rpc import hedge
from chain.rpc.endpoint import Endpoint
from chain.rpc.errors import RpcError
from chain.rpc.observer import RpcObserver
from chain.rpc.wire import Call
from config.clock import Clock

R = TypeVar("R")


@dataclass(slots=True)
class Answers(Generic[R]):
    """What came of a request so far, by label; ``late``: nulls that may only be early."""

    failures: dict[str, RpcError] = field(default_factory=dict)
    late: list[tuple[R, str]] = field(default_factory=list)


class Racer:
    """Knows the pace of each provider and method; only idempotent reads may be raced."""

    def __init__(self, chain: str, clock: Clock, observer: RpcObserver) -> None:
        self._chain = chain
        self._clock = clock
        self._observer = observer
        self._paces: dict[tuple[str, str], hedge.Pace] = {}

    async def race(
        self, call: Call[R], first: Endpoint, second: Endpoint, answers: Answers[R]
    ) -> tuple[R, str] | None:
        """The first good answer and whose it is; ``None`` when nobody asked had one.

        Failures and late nulls go into ``answers``. Whoever is not needed is cancelled.

        :raises RpcError: the chain's own answer.
        """
        started = self._clock.monotonic()
        asked_first: asyncio.Future[R] = asyncio.ensure_future(self._ask(call, first))
        running = {asked_first: first}
        patience = hedge.delay(self._pace(call, first))
        timer = asyncio.ensure_future(self._clock.sleep(patience))
        either: set[asyncio.Future[Any]] = {asked_first, timer}
        hedged = False
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asked_first.done():
                hedged = True
                running[asyncio.ensure_future(self._ask(call, second))] = second
            won = await self._first_good(call, running, answers)
            if hedged:
                unanswered = not asked_first.done()
                self._tell(call, first, won, self._clock.monotonic() - started if unanswered else 0)
        finally:
            await let_go(timer, *running)
        return won

    def _tell(
        self, call: Call[R], first: Endpoint, won: tuple[R, str] | None, waited: float
    ) -> None:
        """Count the race, and remember of a first one that it was given up after ``waited``."""
        helped = won is not None and won[1] != first.label
        outcome = "won" if helped else "lost" if won is not None else "failed"
        self._observer.on_hedge(self._chain, first.label, call.method, outcome)
        if helped and waited > 0:
            pace = hedge.outrun(self._pace(call, first), waited)
            self._paces[first.label, call.method] = pace
            if hedge.suspicious(pace):
                first.doubt()

    async def _first_good(
        self,
        call: Call[R],
        running: dict[asyncio.Future[R], Endpoint],
        answers: Answers[R],
    ) -> tuple[R, str] | None:
        pending = set(running)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            # Of two that came together the one asked first is taken.
            for task in [task for task in running if task in done]:
                label = running[task].label
                try:
                    value = task.result()
                except RpcError as error:
                    if not error.elsewhere:
                        raise
                    answers.failures[label] = error
                    continue
                if value is None and call.null_is_late:
                    answers.late.append((value, label))
                    continue
                return value, label
        return None

    async def _ask(self, call: Call[R], endpoint: Endpoint) -> R:
        started = self._clock.monotonic()
        value = await endpoint.request(call)
        spent = self._clock.monotonic() - started
        pace = hedge.answered(self._pace(call, endpoint), spent)
        self._paces[endpoint.label, call.method] = pace
        return value

    def _pace(self, call: Call[R], endpoint: Endpoint) -> hedge.Pace:
        return self._paces.get((endpoint.label, call.method), hedge.Pace())
