"""Logs of long ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from chain.calls import Topics
from chain.client import ChainClient
from chain.model import Log
from chain.racing import let_go
from chain.rpc.errors import Timeout, TooLarge
from config.units import Address

AT_ONCE: Final = 4
"""Steps of a range asked for beside each other: at a provider that takes ten blocks at a time,
a day of a fast chain is thousands of them, and payouts wait."""
_PORTION: Final = 100
"""Steps that one look at a long range takes; a later look goes on below them."""


def portion(client: ChainClient, first: int, last: int) -> int:
    """First block of the newest part of a range, as much of it as one look should read."""
    return max(first, last - _PORTION * client.log_spans.of(client.asked_first) + 1)


@dataclass(frozen=True, slots=True)
class _Part:
    """Blocks ``first … last``, to be read in steps of at most ``most``."""

    first: int
    last: int
    most: int


@dataclass(slots=True)
class _Reading:
    """One range; its readers take the lowest part that nobody reads."""

    client: ChainClient
    addresses: Collection[Address]
    topics: Topics
    todo: list[_Part]
    found: list[Log] = field(default_factory=list)

    async def step(self) -> bool:
        """Read as much as the provider takes at once; ``False``: it refused, and what it refused is
        to be read in smaller steps."""
        part, spans = self.todo.pop(), self.client.log_spans
        provider = self.client.asked_first
        last = min(part.last, part.first + min(part.most, spans.of(provider)) - 1)
        if last < part.last:
            self.todo.append(_Part(last + 1, part.last, part.most))
        used = last - part.first + 1
        try:
            logs = await self.client.logs(part.first, last, self.addresses, self.topics)
        except TooLarge as error:
            spans.refused(error.provider or provider, used, error.blocks)
            if used == 1:
                raise
            most = min(used // 2, error.blocks or used)
            self.todo.append(_Part(part.first, last, max(1, most)))
            return False
        except Timeout as error:
            spans.refused(error.provider or provider, used)
            raise
        spans.took(provider, used)
        self.found += logs
        return True

    async def all(self) -> None:
        """Until nothing is left to begin with."""
        while self.todo:
            await self.step()


async def logs_between(
    client: ChainClient,
    first: int,
    last: int,
    addresses: Collection[Address],
    topics: Topics,
) -> list[Log]:
    """Logs of a range of any length, in chain order, in steps that the provider takes.

    :raises RpcError: a step failed; nothing is told of the others.
    """
    if first > last:
        return []
    reading = _Reading(client, addresses, topics, [_Part(first, last, last - first + 1)])
    while not await reading.step():
        pass  # alone, until it is known what the provider takes
    tasks = [asyncio.create_task(reading.all()) for _ in range(AT_ONCE if reading.todo else 0)]
    try:
        await asyncio.gather(*tasks)
    finally:
        await let_go(*tasks)
    return sorted(reading.found, key=lambda log: (log.block_number, log.log_index))
