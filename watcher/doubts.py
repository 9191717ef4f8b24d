"""Answers without logs where a block's bloom all but proves some: who is wrong, settled by proof.

A filtered answer may rightly be empty although the bloom holds all of its words: a
sweep puts the Transfer topic and a deposit address there, as *sender*. What settles it
is the block's logs without any filter: where they account for every bit of the bloom,
nothing of them was left out, and which of them are ours is seen here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from chain import calls
from chain.client import ChainClient
from chain.model import BlockHeader, Log
from chain.rpc.errors import BadReply, RpcError
from config.errors import BursarError
from config.units import Hash32
from watcher.checks import accounts_for, misplaced, not_in_bloom, suspiciously_empty
from watcher.filters import LogFilter
from watcher.match import RowMatcher

DOUBTS_BEFORE_BELIEVING: Final = 5
"""Passes that an answer which its own bloom contradicts is refused for, before it is believed."""


class IncompleteReply(BursarError):  # noqa: N818 - named for reading, as chain.rpc.errors
    """A block's logs contradict its bloom: the pass is given up and read again."""

    provider = ""


def refused(client: ChainClient, what: str) -> BadReply:
    """What a pinned provider said cannot be: its name goes with the error, and its score falls."""
    error = BadReply(what, where=client.name)
    error.provider = client.provider or ""
    _distrust(client)
    return error


def incomplete(client: ChainClient, what: str) -> IncompleteReply:
    """What a pinned provider left out."""
    error = IncompleteReply(
        what,
        where=client.name,
        remedy="it is read again; a second provider in rpc_urls would settle it at once",
    )
    error.provider = client.provider or ""
    _distrust(client)
    return error


def _distrust(client: ChainClient) -> None:
    if client.provider is not None:
        client.doubt(client.provider)


class Doubts:
    """How often a block's logs were refused; bounded, so that a wrong bloom cannot stop a chain."""

    def __init__(self) -> None:
        self._counts: dict[Hash32, int] = {}

    def raise_for(self, header: BlockHeader) -> bool:
        """Count one more doubt; ``False`` once the answer is to be believed."""
        count = self._counts.get(header.hash, 0) + 1
        if len(self._counts) > 1_000:
            self._counts.clear()
        self._counts[header.hash] = count
        return count <= DOUBTS_BEFORE_BELIEVING


async def settle_doubts(
    client: ChainClient,
    headers: Sequence[BlockHeader],
    logs: list[Log],
    asked: LogFilter,
    matcher: RowMatcher,
    doubts: Doubts,
) -> list[Log]:
    """The logs, completed where the answer held *none* against the bloom.

    :raises BadReply: logs that are not in these blocks.
    :raises IncompleteReply: nobody could say what is missing; to be tried again.
    """
    wrong = misplaced(headers, logs)
    if wrong is not None:
        raise refused(client, wrong)
    by_number: dict[int, BlockHeader] = {header.number: header for header in headers}
    for number in not_in_bloom(headers, logs):
        if doubts.raise_for(by_number[number]):
            raise incomplete(client, f"block {number} has logs that its bloom does not admit")
    for header in suspiciously_empty(headers, matcher.heights(), asked):
        logs += await _look_closer(client, header, matcher, doubts)
    return sorted(logs, key=lambda log: (log.block_number, log.log_index))


async def _look_closer(
    client: ChainClient, header: BlockHeader, matcher: RowMatcher, doubts: Doubts
) -> list[Log]:
    """Our transfers in a block for which the pinned provider has shown none.

    Where nobody can prove an answer, everything that anybody shows is taken in the end (a
    receipt has to bear it out), but only after the block was refused a few times.
    """
    own = await _everything_of(client, header)
    if accounts_for(header, own):
        return _take(client, own, matcher)
    second = client.second()
    theirs = [] if second is None else await _everything_of(second, header)
    if accounts_for(header, theirs):
        _distrust(client)
        return matcher.take(theirs)
    if doubts.raise_for(header):
        raise incomplete(client, f"block {header.number} lacks logs that its bloom holds")
    shown = {log.log_index: log for log in (*theirs, *own)}
    return _take(client, list(shown.values()), matcher)


def _take(client: ChainClient, logs: Collection[Log], matcher: RowMatcher) -> list[Log]:
    ours = matcher.take(logs)
    if ours:  # what was asked for first, and denied
        _distrust(client)
    return ours


async def _everything_of(client: ChainClient, header: BlockHeader) -> list[Log]:
    """All logs of a block, of any event; none where the provider could not say."""
    try:
        logs = await client.request(calls.logs_of_block(header.hash, None, ()))
    except RpcError:
        return []
    if misplaced([header], logs) is not None:
        _distrust(client)
        return []
    return logs
