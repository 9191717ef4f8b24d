"""Host names that merchants gave, looked up in threads of their own.

A name server that never answers holds a thread for as long as the system's resolver waits, half a
minute perhaps, and no thread can be called back. asyncio's own few threads are not for that: the
journal of payouts needs them, and a stop waits for them. These are many, one for a name, and the
process ends without them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

MOST: Final = 256
"""Names looked up at once; more are refused, and their deliveries tried again. A quarter of the
places is for names that were found at once the last time: a merchant who registers new names that
nobody answers for, again and again, fills the others."""
PROMPT_SECONDS: Final = 5.0
REMEMBERED: Final = 10_000
_FLAGS: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
Found = list[ResolveResult]
_Key = tuple[str, int, socket.AddressFamily]


class NameLookups(AbstractResolver):
    """The system's resolver, at most once at a time for each name."""

    def __init__(self) -> None:
        self._under_way: dict[_Key, asyncio.Future[Found]] = {}
        self._prompt: OrderedDict[str, None] = OrderedDict()
        """Hosts that were found at once the last time; whoever was asked for longest ago goes."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Found:
        """:raises OSError: there is no such name, or too many are being looked up."""
        key = (host, port, family)
        lookup = self._under_way.get(key) or self._begin(key)
        # Who gives up leaves the lookup to those who ask next: its thread works on in any case.
        return list(await asyncio.shield(lookup))

    def _begin(self, key: _Key) -> asyncio.Future[Found]:
        places = MOST if key[0] in self._prompt else MOST * 3 // 4
        if len(self._under_way) >= places:
            raise OSError("too many host names are being looked up")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        lookup: asyncio.Future[Found] = loop.create_future()

        def work() -> None:
            outcome: Found | Exception = OSError("the lookup broke off")
            try:
                outcome = _look_up(*key)
            except (OSError, ValueError) as error:
                outcome = error
            finally:
                with suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(_settle, lookup, outcome)

        threading.Thread(target=work, name="webhook-name", daemon=True).start()
        self._under_way[key] = lookup
        lookup.add_done_callback(lambda _: self._over(key, loop.time() - begun))
        return lookup

    def _over(self, key: _Key, seconds: float) -> None:
        lookup = self._under_way.pop(key)
        self._prompt.pop(key[0], None)
        found = not lookup.cancelled() and lookup.exception() is None
        if found and seconds < PROMPT_SECONDS:
            self._prompt[key[0]] = None
            if len(self._prompt) > REMEMBERED:
                self._prompt.popitem(last=False)

    async def close(self) -> None:
        """Nothing to give back: threads end by themselves."""


def _settle(lookup: asyncio.Future[Found], outcome: Found | Exception) -> None:
    if lookup.cancelled():
        return
    if isinstance(outcome, Exception):
        lookup.set_exception(outcome)
        lookup.exception()  # looked at: whoever waited may be gone
    else:
        lookup.set_result(outcome)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> Found:
    answers = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=_spelled(address),
            port=port,
            family=kind,
            proto=protocol,
            flags=_FLAGS,
        )
        for kind, _, protocol, _, address in answers
    ]


def _spelled(address: tuple[object, ...]) -> str:
    """With its interface where it is of this link only (IPv6: address, port, flow, scope)."""
    scope = address[3] if len(address) == 4 else 0
    return f"{address[0]}%{scope}" if scope else str(address[0])
