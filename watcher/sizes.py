"""What each provider has taught about the size of a range, and the learning itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from chain.ranges import LARGEST, RangeSize, grown, shrunk
from chain.rpc.errors import Timeout, TooLarge
from config.log import get_logger
from ledger.provider_ranges import ProviderRange
from watcher.plan import ReadBlocks, ReadRange

log = get_logger(__name__)

CEILING_LASTS: Final = timedelta(days=7)
"""After so long a start tries larger ranges again: plans and nodes change."""


@dataclass(slots=True)
class Lesson:
    """``too_large``: the read failed for its size alone; a smaller one is worth trying at once."""

    too_large: bool = False


class Sizes:
    """Range sizes by provider; what is worth remembering is handed out to be kept."""

    def __init__(self, chain: str) -> None:
        self._chain = chain
        self._sizes: dict[str | None, RangeSize] = {}
        self._kept: dict[str, ProviderRange] = {}
        self.recalled = False
        """What was learned before has been taken in."""

    def recall(self, known: Iterable[ProviderRange], now: datetime) -> None:
        """Begin with what was learned before; a limit that is old is tried anew."""
        for each in known:
            ceiling = LARGEST if now - each.ceiling_at > CEILING_LASTS else each.ceiling
            self._sizes[each.provider] = RangeSize(each.size, ceiling)
            self._kept[each.provider] = each
        self.recalled = True

    def changed(self, now: datetime) -> list[ProviderRange]:
        """What was learned since it was last :meth:`kept`."""
        found = []
        for provider, size in self._sizes.items():
            if provider is None:
                continue
            old = self._kept.get(provider)
            same = old is not None and old.ceiling == size.ceiling
            at = old.ceiling_at if old is not None and same else now
            new = ProviderRange(provider, size.size, size.ceiling, at)
            if new != old:
                found.append(new)
        return found

    def kept(self, saved: Iterable[ProviderRange]) -> None:
        """These are in the books."""
        self._kept.update({each.provider: each for each in saved})

    def of(self, provider: str | None) -> int:
        """Blocks that a range read from this provider may take now."""
        return self._size(provider).size

    def _size(self, provider: str | None) -> RangeSize:
        return self._sizes.get(provider, RangeSize())

    @contextmanager
    def learning(self, provider: str | None, step: ReadRange | ReadBlocks) -> Iterator[Lesson]:
        """Around a read: grow after a good answer, shrink after *too large* or a timeout.

        :raises TooLarge, Timeout: even a single block is too much.
        """
        used = step.last - step.first + 1
        lesson = Lesson()
        try:
            yield lesson
        except (TooLarge, Timeout) as error:
            if used == 1 or isinstance(step, ReadBlocks):
                if isinstance(error, TooLarge):
                    log.critical("block_too_large", chain=self._chain, block=step.first,
                                 provider=provider, error=str(error))  # fmt: skip
                raise
            named = None if isinstance(error, Timeout) else error.blocks
            self._sizes[provider] = shrunk(self._size(provider), used, named)
            lesson.too_large = True
        else:
            if isinstance(step, ReadRange):
                # As it is now: other reads, begun before or after this one, have taught too.
                self._sizes[provider] = grown(self._size(provider), used)
