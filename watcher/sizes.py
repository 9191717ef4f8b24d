"""What each provider has taught about the size of a range, and the learning itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chain.rpc.errors import Timeout, TooLarge
from config.log import get_logger
from watcher.plan import ReadBlocks, ReadRange
from watcher.ranges import RangeSize, grown, shrunk

log = get_logger(__name__)


@dataclass(slots=True)
class Lesson:
    """``too_large``: the read failed for its size alone; a smaller one is worth trying at once."""

    too_large: bool = False


class Sizes:
    """Range sizes by provider, for as long as the process lives."""

    def __init__(self, chain: str) -> None:
        self._chain = chain
        self._sizes: dict[str | None, RangeSize] = {}

    def of(self, provider: str | None) -> int:
        """Blocks that a range read from this provider may take now."""
        return self._sizes.get(provider, RangeSize()).size

    @contextmanager
    def learning(self, provider: str | None, step: ReadRange | ReadBlocks) -> Iterator[Lesson]:
        """Around a read: grow after a good answer, shrink after *too large* or a timeout.

        :raises TooLarge, Timeout: even a single block is too much.
        """
        used = step.last - step.first + 1
        now = self._sizes.get(provider, RangeSize())
        lesson = Lesson()
        try:
            yield lesson
        except (TooLarge, Timeout) as error:
            if used == 1 or isinstance(step, ReadBlocks):
                if isinstance(error, TooLarge):
                    log.critical("block_too_large", chain=self._chain, block=step.first,
                                 provider=provider, error=str(error))  # fmt: skip
                raise
            self._sizes[provider] = shrunk(now, used, _named(error))
            lesson.too_large = True
        else:
            if isinstance(step, ReadRange):
                self._sizes[provider] = grown(now, used)


def _named(error: TooLarge | Timeout) -> int | None:
    """How many blocks the provider said that it takes."""
    if isinstance(error, Timeout):
        return None
    if error.suggested is not None:
        first, last = error.suggested
        return last - first + 1
    return error.max_blocks
