"""State by which something is decided for good is asked of two providers, where there are two.

An answer to a call, a nonce or a balance proves nothing, and no later look would find out that
it was false: a batch that was given up, an id that was signed for, are so for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from chain.client import ChainClient
from chain.rpc.errors import NodeBehind, RpcError

R = TypeVar("R")


async def agreed(
    client: ChainClient,
    ask: Callable[[ChainClient], Awaitable[R]],
    *,
    since: int | None = None,
) -> R | None:
    """What two providers tell alike; ``None``: they differ, and no third one decides.

    Who does not answer has no opinion; one alone is believed, as everywhere.

    :param ask: answers anything but ``None``.
    :param since: where state of *now* is asked for, a block that every node in step has, such as
        the final one: who stands below it speaks of the past, and has no opinion either.
    :raises RpcError: nobody answers.
    """
    first, second = client.pinned(), client.second()
    if second is None:
        return await ask(client)
    told = [(view, answer) for view in (first, second) for answer in await _told(view, ask)]
    if not told:
        return await ask(client)
    if len(told) == 1 or told[0][1] == told[1][1]:
        return told[0][1]
    third = first.third(second)
    for answer in [] if third is None else await _told(third, ask):
        for view, other in told:
            if other != answer and any(answer == mine for _, mine in told):
                client.doubt(view.provider or "")
        return next((mine for _, mine in told if mine == answer), None)
    return None if since is None else await _in_step(told, since)


async def _in_step(told: Sequence[tuple[ChainClient, R]], since: int) -> R | None:
    """The answer of the only one whose chain reaches ``since``.

    A node that stopped days ago, and answers, would otherwise stop everything here as well.
    """
    left = [answer for view, answer in told if await _has(view, since)]
    return left[0] if len(left) == 1 else None


async def _has(view: ChainClient, number: int) -> bool:
    try:
        return await view.block(number) is not None
    except RpcError:
        return False


async def told_alike(
    client: ChainClient,
    ask: Callable[[ChainClient], Awaitable[R]],
    *,
    since: int | None = None,
) -> R:
    """:func:`agreed`, where nothing can go on without.

    :raises NodeBehind: two providers differ: later they may not.
    """
    found = await agreed(client, ask, since=since)
    if found is None:
        raise NodeBehind("two providers tell different things about the same state")
    return found


async def _told(view: ChainClient, ask: Callable[[ChainClient], Awaitable[R]]) -> list[R]:
    try:
        return [await ask(view)]
    except RpcError:
        return []
