"""Logs of long ranges."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from chain.calls import Topics
from chain.client import ChainClient
from chain.model import Log
from chain.rpc.errors import TooLarge
from config.units import Address

SPAN: Final = 2_000


async def logs_between(
    client: ChainClient,
    first: int,
    last: int,
    addresses: Collection[Address],
    topics: Topics,
) -> list[Log]:
    """Logs of a range of any length, in steps that the provider takes."""
    found: list[Log] = []
    span = SPAN
    while first <= last:
        try:
            found += await client.logs(first, min(first + span - 1, last), addresses, topics)
        except TooLarge:
            if span == 1:
                raise
            span //= 2
            continue
        first += span
    return found
