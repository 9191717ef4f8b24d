"""Books of a process that dies, or sleeps, at one of its writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from ledger.store import Ledger, Tx


class Crash(BaseException):
    """What a test raises where a process would have been killed."""


@contextmanager
def dies_before_it_signs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What runs in it ends with a batch sealed, and nothing signed for it."""

    async def dies(*_: object, **__: object) -> object:
        raise Crash

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr("settlement.lanes.dispatch.sign_batch", dies)
        yield


class CrashingLedger:
    """The ledger of a process that dies at its n-th write: just before or just after the commit."""

    def __init__(self, ledger: Ledger, at: int, *, committed: bool) -> None:
        self._ledger = ledger
        self._left = at
        self._committed = committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self._left -= 1
        async with self._ledger.transaction() as tx:
            yield tx
            if self._left == 0 and not self._committed:
                raise Crash
        if self._left == 0:
            raise Crash


class SleepingLedger:
    """The ledger of a process that is stopped just before its n-th write, for longer than a lease."""

    def __init__(self, ledger: Ledger, at: int, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._ledger = ledger
        self._left = at
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self._left -= 1
        if self._left == 0:
            await self._meanwhile()
        async with self._ledger.transaction() as tx:
            yield tx
