"""State by which something is decided for good is asked of two providers, where there are two.

An answer to a call, a nonce or a balance proves nothing, and no later look would find out that
it was false: a batch that was given up, an id that was signed for, are so for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from chain.client import ChainClient
from chain.rpc.errors import NodeBehind, RpcError

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Heard(Generic[R]):
    """What providers told.

    :param answer: what counts; ``None``: they differ, and no third one decides.
    :param told: by provider, where they differ.
    """

    answer: R | None
    told: Sequence[tuple[str, R]] = ()

    @property
    def words(self) -> str:
        """Who tells what, for people."""
        return ", ".join(f"{provider or 'one'} tells {answer}" for provider, answer in self.told)


async def hear(
    client: ChainClient,
    ask: Callable[[ChainClient], Awaitable[R]],
    *,
    since: int | None = None,
) -> Heard[R]:
    """What two providers tell alike.

    Who does not answer has no opinion; one alone is believed, as everywhere.

    :param ask: answers anything but ``None``.
    :param since: where state of *now* is asked for, a block that every node in step has, such as
        the final one: who stands below it speaks of the past, and has no opinion either.
    :raises RpcError: nobody answers.
    """
    first, second = client.pinned(), client.second()
    if second is None:
        return Heard(await ask(client))
    told = [(view, answer) for view in (first, second) for answer in await _told(view, ask)]
    if not told:
        return Heard(await ask(client))
    if len(told) == 1 or told[0][1] == told[1][1]:
        return Heard(told[0][1])
    third = first.third(second)
    for answer in [] if third is None else await _told(third, ask):
        for view, other in told:
            if other != answer and any(answer == mine for _, mine in told):
                client.doubt(view.provider or "")
        found = next((mine for _, mine in told if mine == answer), None)
        return Heard(found, _named([*told, *([] if third is None else [(third, answer)])]))
    return Heard(None if since is None else await _in_step(told, since), _named(told))


async def agreed(
    client: ChainClient,
    ask: Callable[[ChainClient], Awaitable[R]],
    *,
    since: int | None = None,
) -> R | None:
    """As :func:`hear`, for whoever looks again by itself; ``None``: they differ.

    :raises RpcError: nobody answers.
    """
    return (await hear(client, ask, since=since)).answer


def _named(told: Sequence[tuple[ChainClient, R]]) -> list[tuple[str, R]]:
    return [(view.provider or "", answer) for view, answer in told]


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
    heard = await hear(client, ask, since=since)
    if heard.answer is None:
        raise NodeBehind(f"two providers tell different things about the same state: {heard.words}")
    return heard.answer


async def _told(view: ChainClient, ask: Callable[[ChainClient], Awaitable[R]]) -> list[R]:
    try:
        return [await ask(view)]
    except RpcError:
        return []
