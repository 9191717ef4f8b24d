"""Following a chain that changed its mind: the walk back, and what stops it.

Nothing is written here. A wrong ancestor cannot do harm that lasts: too low,
and what was undone is found again on the way up; too high, and the next pass
does not link and walks on.
"""

from __future__ import annotations

from typing import Final

from chain.client import ChainClient
from chain.model import BlockHeader
from chain.rpc.errors import NodeBehind, RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.units import Hash32
from ledger.cursors import BlockMark, BlockRow
from watcher.ancestor import Ancestor, FinalityViolation, Verdict, WalkOn, judge_link
from watcher.doubts import refused
from watcher.patience import Patience

_BEFORE_HALTING: Final = 60.0
"""Seconds that others are waited for where one provider alone denies the final block."""
_STEPS_BEFORE_LOOKING_DOWN: Final = 8
"""After these the final block itself is asked for: a deep walk is mostly a violation."""


class Alone:
    """How long one provider has been the only one that answers, of those who could object."""

    def __init__(self, chain: ChainSettings, clock: Clock) -> None:
        self._clock = clock
        self._patience = Patience(chain.poll_interval.total_seconds(), _BEFORE_HALTING)

    def for_long(self) -> bool:
        """Asked each time that nobody else answers."""
        return self._patience.over(self._clock.monotonic())


async def find_ancestor(
    client: ChainClient,
    child: BlockHeader,
    stored: list[BlockRow],
    final: BlockMark,
    alone: Alone,
) -> Ancestor | FinalityViolation:
    """Walk down from ``child``, which does not follow the cursor's block.

    :param stored: our canonical blocks from the final one to the cursor, ascending.
    :param alone: remembers since when nobody but this provider has answered.
    :raises NodeBehind: a block of the walk is gone (a reorg meanwhile): start again.
    :raises BadReply: one provider says that finality was violated and is refuted.
    """
    hashes: dict[int, Hash32] = {block.number: block.hash for block in stored}
    number, found = int(child.number) - 1, child.parent_hash
    for step in range(int(child.number) - final.number + 1):
        verdict: Verdict = judge_link(number, found, stored=hashes, final_number=final.number)
        if step == _STEPS_BEFORE_LOOKING_DOWN and isinstance(verdict, WalkOn):
            verdict = await _look_down(client, final) or verdict
        if isinstance(verdict, FinalityViolation):
            await _refute(client, final, alone)
            return verdict
        if isinstance(verdict, Ancestor):
            return verdict
        header = await client.block_by_hash(found)
        if header is None or header.number != number:
            raise NodeBehind("a block went missing while walking back", where=client.name)
        number, found = number - 1, header.parent_hash
    raise AssertionError("the walk passed the stored final block")


async def _look_down(client: ChainClient, final: BlockMark) -> FinalityViolation | None:
    header = await client.block(final.number)
    if header is None or header.hash == final.hash:
        return None
    return FinalityViolation(final.number, final.hash, header.hash)


async def _refute(client: ChainClient, final: BlockMark, alone: Alone) -> None:
    """See whether this provider, or another one, still holds the final block after all.

    :raises BadReply: it does, or nobody else answers for the moment; a single node on a branch
        of its own must not stop a chain.
    :raises WrongChain: its URL has begun to lead to another chain, which says nothing of this one.
    """
    await client.prove_chain()
    second = client.second()
    third = None if second is None else client.third(second)
    heard = client.provider_count < 2
    for view in (client, second, third):
        if view is None:
            continue
        try:
            header = await view.block(final.number)
        except RpcError:
            continue
        if header is not None and header.hash == final.hash:
            raise refused(
                client,
                f"a provider denied the final block {final.number}, which "
                f"{view.provider or 'it'} still holds",
            )
        heard = heard or (header is not None and view is not client)
    if not heard and not alone.for_long():
        raise refused(client, f"one provider denies the final block {final.number}, alone so far")
