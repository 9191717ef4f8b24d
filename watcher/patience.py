"""How long another provider that does not answer is waited for. Pure."""

from __future__ import annotations

from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""How long payments wait for a second provider that does not answer at all."""
SILENCE_LASTS: Final = 120.0
"""Seconds after which an answer that failed says nothing of the next: patience begins anew.

More than passes between two questions: what waits for long is asked about every half minute,
and a request that hangs takes its time as well.
"""
_POLLS: Final = 3


class Patience:
    """Times are monotonic seconds, given from outside.

    :param poll: seconds between two passes; polls may be further apart than all else.
    :param lasts: how long it lasts; ``None``: :data:`PATIENCE_SECONDS`.
    """

    def __init__(self, poll: float = 0.0, lasts: float | None = None) -> None:
        self._lasts = lasts
        self._silence_lasts = max(SILENCE_LASTS, _POLLS * poll)
        self._alone_since: float | None = None
        self._alone_at = 0.0

    def heard(self) -> None:
        """Somebody else answered."""
        self._alone_since = None

    def over(self, now: float) -> bool:
        """Nobody else answered now; whether that has lasted for too long."""
        if self._alone_since is None or now - self._alone_at > self._silence_lasts:
            self._alone_since = now
        self._alone_at = now
        lasts = PATIENCE_SECONDS if self._lasts is None else self._lasts
        return now - self._alone_since >= lasts
