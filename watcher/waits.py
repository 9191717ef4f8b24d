"""How long claims have been waiting to be borne out, and when to ask or to act again. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Generic, TypeVar

HOLD_SECONDS: Final = 60.0
"""Waiting for longer than this is named by a hold."""
REFUTED_SECONDS: Final = 600.0
"""Two providers that deny a receipt for so long, against one at most, are believed."""
_AT_ONCE_FOR: Final = 5.0
_MOST: Final = 30.0
_SHARE: Final = 4

T = TypeVar("T")


class Waits(Generic[T]):
    """Since when each of the claims at hand has been waiting, and been refuted.

    Times are monotonic seconds, given from outside.
    """

    def __init__(self) -> None:
        self._since: dict[T, float] = {}
        self._refuted_since: dict[T, float] = {}
        self._asked_at: float | None = None

    def to_ask(self, claims: Collection[T], now: float) -> list[T]:
        """Those that are new, and all of them when it is time."""
        return [claim for claim in claims if claim not in self._since or self.due(now)]

    def update(
        self, claims: Collection[T], asked: Collection[T], agreed: Collection[T],
        refuted: Collection[T], now: float,
    ) -> None:  # fmt: skip
        """After asking; what is not among the claims any more is forgotten.

        :param asked: of the claims; the others stay as they were.
        """
        waiting = set(claims) - set(agreed)
        before = self._refuted_since
        refuted = (set(refuted) | (before.keys() - set(asked))) & waiting
        self._since = {claim: self._since.get(claim, now) for claim in waiting}
        self._refuted_since = {claim: before.get(claim, now) for claim in refuted}
        if set(asked) >= waiting:
            self._asked_at = now

    def forget(self, claims: Collection[T]) -> None:
        """Somebody has decided about these."""
        for claim in claims:
            self._since.pop(claim, None)
            self._refuted_since.pop(claim, None)

    def due(self, now: float) -> bool:
        """Whether to ask again: at once while it is fresh, then ever more seldom, to 30 s."""
        if not self._since or self._asked_at is None:
            return True
        age = now - max(self._since.values())
        pause = 0.0 if age < _AT_ONCE_FOR else min(_MOST, age / _SHARE)
        return now - self._asked_at >= pause

    def oldest(self, now: float) -> float:
        """Seconds that the oldest has been waiting."""
        return max((now - since for since in self._since.values()), default=0.0)

    def to_name(self, now: float) -> frozenset[T]:
        """Those that have been waiting for so long that somebody should look."""
        return frozenset(c for c, since in self._since.items() if now - since >= HOLD_SECONDS)

    def given_up(self, now: float) -> frozenset[T]:
        """Those that have been refuted for so long that they are not so."""
        return frozenset(
            c for c, since in self._refuted_since.items() if now - since >= REFUTED_SECONDS
        )

    def __len__(self) -> int:
        return len(self._since)
