"""How deep blocks lie, as a second provider sees it: one alone could call anything final.

::

    pinned     ── a ── b ── c ── d ── e      final by its word: c
    another    ── a ── b ── c ── d           final by both: b
    another    ── a ── b                     it is behind: as far as it goes, it bears out the rest
    another    ── a ── X ── Y ── Z           it has another block for c: nothing new is final
    another    ── a ── X                     so it has for its newest one: it is not only behind

Blocks that a provider makes up above the head, a tag that it moves too far, and a branch of
its own would confirm payments before their time, and be held as final: then the true chain
stops as a violation of it. Where there is a second provider, no more is final, and no payment
deep enough, than both of them show; of three, two decide. Who does not answer, stands still,
or is only ever behind, has no say after a while: a second URL that is dead must not be worse
than none. Who says otherwise is never overruled by waiting (:class:`Withheld`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chain import calls
from chain.client import ChainClient
from chain.model import BlockHeader
from chain.rpc.errors import NodeBehind, RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.units import Hash32
from ledger.cursors import BlockMark, stored_blocks
from ledger.store import Ledger
from watcher.doubts import refused
from watcher.effects import Pass
from watcher.finality import ChainView, final_number, used_tags
from watcher.patience import Patience
from watcher.report import Report

STILL_SECONDS: Final = 60.0
STILL_BLOCKS: Final = 5
"""A provider whose head stands so long below what another shows has stopped: it has no say."""
BEHIND_SECONDS: Final = 600.0
"""Another one that is only ever behind, and says nothing else, is not waited for longer."""
_AT_ONCE_FOR: Final = 5.0
_SHARE: Final = 4
_MOST: Final = 30.0
"""What is not borne out is asked about again at once for so long, then ever more seldom."""
_EPOCHS: Final = 2
"""A tag moves in steps: who is a block behind may show one that is a whole step behind."""

Rank = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Sight:
    """A chain as a provider shows it, beside the one whose pass it is.

    :param tags: of those in use; one that it does not have is left out.
    :param at_mark: its block where the other one's final block is; ``None``: it has none there.
    """

    head: BlockMark
    tags: Mapping[str, int]
    at_mark: Hash32 | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be taken as final, and how deep payments lie; the more the larger."""

    final: int
    view: ChainView
    has_mark: bool = True
    """Whether the other one has the block that is called final."""
    otherwise: bool = False
    """It has other blocks, or says of these that they are not final: more than being behind."""

    @property
    def rank(self) -> Rank:
        tags = self.view.tags
        return self.final, self.view.cursor, tuple(tags[name] for name in sorted(tags))


_STOPPED: Final = Allowed(-1, ChainView(-1, {}), has_mark=False)
"""Who stands still, and so has no say."""


def allowed_by(
    sight: Sight, mark: BlockMark, before: BlockMark, full: ChainView, chain: ChainSettings,
    ours: Hash32 | None,
) -> Allowed:  # fmt: skip
    """What two providers bear out together. Pure.

    :param mark: final by the word of the pass; ``before``: so far.
    :param full: as the pass has it; tags that ``sight`` lacks are left as they are.
    :param ours: our block at the height of the other one's head, where that is below the mark.
    """
    new = mark.number > before.number
    both = {tag: min(number, sight.tags.get(tag, number)) for tag, number in full.tags.items()}
    behind = max(0, full.cursor - sight.head.number)
    lower = any(full.tags[tag] - both[tag] > _EPOCHS * behind for tag in both)
    final: int = -1 if new else before.number
    if new and (sight.at_mark == mark.hash or ours == sight.head.hash):
        final = min(mark.number, final_number(chain.hard_finality, sight.head.number, both))
    return Allowed(
        final,
        ChainView(full.cursor - behind, both),
        has_mark=sight.at_mark == mark.hash,
        otherwise=lower or (new and differs(sight, mark, ours)),
    )


def differs(sight: Sight, mark: BlockMark, ours: Hash32 | None) -> bool:
    """Whether the other one is on another branch. Pure."""
    return sight.at_mark not in (None, mark.hash) or ours not in (None, sight.head.hash)


@dataclass(frozen=True, slots=True)
class Withheld:
    """What two providers do not bear out; times are monotonic seconds.

    :param wanted: by the word of one, when it began to be withheld; ``mark``: its final block.
    :param behind_since: from then on the others have been behind, and said nothing else.
    """

    wanted: Rank
    mark: BlockMark
    since: float
    behind_since: float


def withhold(
    known: Withheld | None, full: Allowed, found: Allowed, mark: BlockMark, now: float,
    *, otherwise: bool,
) -> Withheld | None:  # fmt: skip
    """The next state, after others were asked. Pure.

    What was borne out in the meantime, a little late, begins anew with what is wanted now: one
    that always lags by some blocks never comes to be overruled.
    """
    if found.rank >= full.rank:
        return None
    if known is None or found.rank >= known.wanted:
        return Withheld(full.rank, mark, now, now)
    return replace(known, behind_since=now) if otherwise else known


class Depths:
    """One chain's."""

    def __init__(self, ledger: Ledger, chain: ChainSettings, clock: Clock, report: Report) -> None:
        self._ledger = ledger
        self._chain = chain
        self._clock = clock
        self._report = report
        self._patience = Patience(chain.poll_interval.total_seconds())
        self._standing: dict[str, tuple[int, float]] = {}
        """Of providers that are behind: their head, and since when it is that."""
        self._told: dict[str, set[str]] = {}
        """Tags that each provider has shown."""
        self._tag_patience = Patience(chain.poll_interval.total_seconds())
        self._withheld: Withheld | None = None
        self._asked_at = 0.0

    def due(self) -> bool:
        """Whether what was not borne out is to be asked about again, though no block is new."""
        if self._withheld is None:
            return True
        now = self._clock.monotonic()
        age = now - self._withheld.since
        pause = 0.0 if age < _AT_ONCE_FOR else min(_MOST, age / _SHARE)
        return now - self._asked_at >= pause

    async def of_two(self, client: ChainClient, work: Pass, mark: BlockMark, claims: bool) -> Pass:
        """The pass, with no more final, and nothing deeper, than another provider shows too.

        :param mark: its final block, as the pinned provider has it.
        :param claims: whether payments hang on it.
        :raises BadReply: two others do not have that block.
        """
        new = mark.number > work.cursor.final.number
        if client.provider_count < 2 or not (new or claims):
            return work
        top = work.top.number
        tags = {tag: min(number, top) for tag, number in work.tags.items()}
        full = Allowed(mark.number, ChainView(top, tags))
        answers = await self._answers(client, work, mark, full)
        found = self._agreed(answers, work.cursor.final)
        overruled = await self._overruled(work, full, found, answers, mark, new)
        if found is None or overruled:
            return work
        says = [answer for answer in answers if answer is not None and answer is not _STOPPED]
        if new and len(says) > 1 and not any(answer.has_mark for answer in says):
            raise refused(client, f"two others do not have the final block {mark.number}")
        final = max(found.final, int(work.cursor.final.number))
        stored = work.stored
        if final < mark.number:  # the rest may be exchanged yet, whatever the pass said
            stored = tuple(h for h in work.headers if h.number >= final)
        return replace(work, final=final, stored=stored, depth=found.view)

    async def _answers(
        self, client: ChainClient, work: Pass, mark: BlockMark, full: Allowed
    ) -> list[Allowed | None]:
        """Of one other, and of a third one where that one does not bear it out."""
        second = client.second()
        answers = [None if second is None else await self._ask(second, work, mark, full)]
        if second is not None and (answers[0] is None or answers[0].rank < full.rank):
            third = client.third(second)
            answers += [await self._ask(third, work, mark, full)] if third is not None else []
        self._asked_at = self._clock.monotonic()
        return answers

    def _agreed(self, answers: Sequence[Allowed | None], before: BlockMark) -> Allowed | None:
        """``None``: nobody else has a say."""
        says = [found for found in answers if found is not None and found is not _STOPPED]
        if says:
            self._patience.heard()
            return max(says, key=lambda answer: answer.rank)
        if None not in answers or self._patience.over(self._asked_at):
            return None
        return Allowed(int(before.number), ChainView(-1, {}))

    async def _overruled(
        self, work: Pass, full: Allowed, found: Allowed | None,
        answers: Sequence[Allowed | None], mark: BlockMark, new: bool,
    ) -> bool:  # fmt: skip
        """Whether others have only been behind for so long that they are no longer waited for."""
        known, now = self._withheld, self._asked_at
        if found is None:
            self._withheld = None
        elif new or known is None or found.rank < full.rank:
            otherwise = any(answer is not None and answer.otherwise for answer in answers)
            self._withheld = withhold(known, full, found, mark, now, otherwise=otherwise)
        known = self._withheld
        if known is not None and now - known.behind_since >= BEHIND_SECONDS:
            if await self._ours(work, known.mark.number) in (None, known.mark.hash):
                self._report.withheld(0.0)
                return True
            # Whoever called it final shows another block there now, and begins anew.
            self._withheld = replace(known, wanted=full.rank, mark=mark, behind_since=now)
        self._report.withheld(0.0 if known is None else now - known.since)
        return False

    async def _ask(
        self, view: ChainClient, work: Pass, mark: BlockMark, full: Allowed
    ) -> Allowed | None:
        """``None``: it does not answer."""
        sight = await _look(view, mark, sorted(used_tags(self._chain)))
        if sight is None or self._lost_a_tag(view.provider or "", sight):
            return None
        if self._has_stopped(view.provider or "", sight.head.number, work.top.number):
            return _STOPPED
        before, ours = work.cursor.final, None
        if sight.at_mark is None and sight.head.number < mark.number:
            ours = await self._ours(work, sight.head.number)
        if mark.number > before.number and differs(sight, mark, ours):
            number = min(mark.number, sight.head.number)
            self._report.final_disputed(number, view.provider or "")
        return allowed_by(sight, mark, before, full.view, self._chain, ours)

    def _lost_a_tag(self, provider: str, sight: Sight) -> bool:
        """Whether it has told a tag before and does not now: silence, and not that it has none."""
        told = self._told.setdefault(provider, set())
        told.update(sight.tags)
        if told == sight.tags.keys():
            self._tag_patience.heard()
            return False
        return not self._tag_patience.over(self._clock.monotonic())

    async def _ours(self, work: Pass, number: int) -> Hash32 | None:
        """The block of our chain at a height; ``None``: it is not kept, or not read yet."""
        for header in work.headers:
            if header.number == number:
                return header.hash
        async with self._ledger.reading() as tx:
            kept = await stored_blocks(tx, self._chain.name, number, number)
        return kept[0].hash if kept else None

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
        BlockMark(head.number, head.hash),
        {
            tag: int(found.number)
            for tag, found in zip(tags, tagged, strict=True)
            if isinstance(found, BlockHeader)
        },
        None if at_mark is None else at_mark.hash,
    )


def _header(answer: BlockHeader | RpcError | None) -> BlockHeader | RpcError | None:
    return None if isinstance(answer, NodeBehind) else answer
