"""How deep blocks lie, as a second provider sees it: one alone could call anything final.

::

    pinned     ── a ── b ── c ── d ── e      final by its word: c
    another    ── a ── b ── c ── d           final by both: b
    another    ── a ── X ── Y ── Z           it has another block for c: nothing new is final

Blocks that a provider makes up above the head, a tag that it moves too far, and a branch of
its own would confirm payments before their time, and be held as final: then the true chain
stops as a violation of it. Where there is a second provider, no more is final, and no payment
deep enough, than both of them show; of three, two decide. Who does not answer, or stands
still, has no say after a while: a second URL that is dead must not be worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from chain import calls
from chain.client import ChainClient
from chain.model import BlockHeader
from chain.rpc.errors import NodeBehind, RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.units import Hash32
from ledger.cursors import BlockMark
from watcher.doubts import refused
from watcher.effects import Pass
from watcher.finality import ChainView, final_number, used_tags
from watcher.patience import Patience
from watcher.report import Report

STILL_SECONDS: Final = 60.0
STILL_BLOCKS: Final = 5
"""A provider whose head stands so long below what another shows has stopped: it has no say."""
BEHIND_SECONDS: Final = 600.0
"""Another one that is only ever behind, and never shows another block, is not waited for longer."""
_AT_ONCE_FOR: Final = 5.0
_SHARE: Final = 4
_MOST: Final = 30.0
"""What is not borne out is asked about again at once for so long, then ever more seldom."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A chain as a provider shows it, beside the one whose pass it is.

    :param tags: of those in use; one that it does not have is left out.
    :param at_mark: its block where the other one's final block is; ``None``: it has none there.
    """

    head: int
    tags: Mapping[str, int]
    at_mark: Hash32 | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be taken as final, and how deep payments lie; the more the larger."""

    final: int
    view: ChainView
    has_mark: bool = True
    """Whether the other one has the block that is called final."""

    @property
    def rank(self) -> tuple[int, int]:
        return self.final, self.view.cursor


_STOPPED: Final = Allowed(-1, ChainView(-1, {}), has_mark=False)
"""Who stands still, and so has no say."""


def allowed_by(
    sight: Sight, mark: BlockMark, before: BlockMark, top: int, tags: Mapping[str, int],
    chain: ChainSettings,
) -> Allowed:  # fmt: skip
    """What two providers bear out together. Pure.

    :param mark: final by the word of the pass; ``before``: so far.
    :param tags: as the pass has them; what ``sight`` lacks of them is left as it is.
    """
    head = min(top, sight.head)
    both = {tag: min(number, sight.tags.get(tag, number)) for tag, number in tags.items()}
    final: int = before.number
    if sight.at_mark == mark.hash:
        final = max(final, min(mark.number, final_number(chain.hard_finality, sight.head, both)))
    return Allowed(final, ChainView(head, both), sight.at_mark == mark.hash)


class Depths:
    """One chain's."""

    def __init__(self, chain: ChainSettings, clock: Clock, report: Report) -> None:
        self._chain = chain
        self._clock = clock
        self._report = report
        self._patience = Patience(chain.poll_interval.total_seconds())
        self._standing: dict[str, tuple[int, float]] = {}
        """Of providers that are behind: their head, and since when it is that."""
        self._withheld_since: float | None = None
        self._asked_at = 0.0
        self._differs = False

    def due(self) -> bool:
        """Whether what was not borne out is to be asked about again, though no block is new."""
        if self._withheld_since is None:
            return True
        now = self._clock.monotonic()
        age = now - self._withheld_since
        pause = 0.0 if age < _AT_ONCE_FOR else min(_MOST, age / _SHARE)
        return now - self._asked_at >= pause

    async def of_two(self, client: ChainClient, work: Pass, mark: BlockMark, claims: bool) -> Pass:
        """The pass, with no more final, and nothing deeper, than another provider shows too.

        :param mark: its final block, as the pinned provider has it.
        :param claims: whether payments hang on it.
        :raises BadReply: two others do not have that block.
        """
        before = work.cursor.final
        if client.provider_count < 2 or (mark.number <= before.number and not claims):
            return work
        full, self._differs = Allowed(mark.number, work.view), False
        found = await self._allowed(client, work, mark, full)
        self._asked_at = self._clock.monotonic()
        if found is None or found.rank >= full.rank:
            self._withheld_since = None
        elif self._withheld_since is None:
            self._withheld_since = self._asked_at
        waited = self._asked_at - (self._withheld_since or self._asked_at)
        if found is None or (waited >= BEHIND_SECONDS and not self._differs):
            return work
        stored = work.stored
        if found.final < mark.number:  # the rest may be exchanged yet, whatever the pass said
            stored = tuple(h for h in work.headers if h.number >= found.final)
        return replace(work, final=found.final, stored=stored, depth=found.view)

    async def _allowed(
        self, client: ChainClient, work: Pass, mark: BlockMark, full: Allowed
    ) -> Allowed | None:
        """``None``: nobody else has a say.

        :raises BadReply: two others have not the block that the pinned provider calls final.
        """
        second = client.second()
        answers = [None if second is None else await self._ask(second, work, mark)]
        if second is not None and (answers[0] is None or answers[0].rank < full.rank):
            third = client.third(second)
            answers += [await self._ask(third, work, mark)] if third is not None else []
        says = [found for found in answers if found is not None and found is not _STOPPED]
        new = mark.number > work.cursor.final.number
        if new and len(says) > 1 and not any(answer.has_mark for answer in says):
            raise refused(client, f"two others do not have the final block {mark.number}")
        if says:
            self._patience.heard()
            return max(says, key=lambda answer: answer.rank)
        if None not in answers or self._patience.over(self._clock.monotonic()):
            return None
        return Allowed(work.cursor.final.number, ChainView(-1, work.tags))

    async def _ask(self, view: ChainClient, work: Pass, mark: BlockMark) -> Allowed | None:
        """``None``: it does not answer."""
        sight = await _look(view, mark, sorted(used_tags(self._chain)))
        if sight is None:
            return None
        if self._has_stopped(view.provider or "", sight.head, work.top.number):
            return _STOPPED
        if sight.at_mark not in (None, mark.hash) and mark.number > work.cursor.final.number:
            self._differs = True
            self._report.final_disputed(mark.number, view.provider or "")
        return allowed_by(sight, mark, work.cursor.final, work.top.number, work.tags, self._chain)

    def _has_stopped(self, provider: str, head: int, top: int) -> bool:
        if head >= top:
            self._standing.pop(provider, None)
            return False
        now = self._clock.monotonic()
        known, since = self._standing.get(provider, (-1, now))
        self._standing[provider] = (head, since if head == known else now)
        still = max(STILL_SECONDS, STILL_BLOCKS * self._chain.block_time.total_seconds())
        return head == known and now - since >= still


async def _look(view: ChainClient, mark: BlockMark, tags: list[str]) -> Sight | None:
    """In one request; ``None``: no answer."""
    wanted: list[int | str] = [int(mark.number), "latest", *tags]
    asked = [calls.block(which) for which in wanted]
    try:
        answers = await view.batch(asked)
    except RpcError:
        return None
    at_mark, head, *tagged = (_header(answer) for answer in answers)
    if isinstance(head, RpcError) or head is None or isinstance(at_mark, RpcError):
        return None
    return Sight(
        head.number,
        {
            tag: int(found.number)
            for tag, found in zip(tags, tagged, strict=True)
            if isinstance(found, BlockHeader)
        },
        None if at_mark is None else at_mark.hash,
    )


def _header(answer: BlockHeader | RpcError | None) -> BlockHeader | RpcError | None:
    return None if isinstance(answer, NodeBehind) else answer
