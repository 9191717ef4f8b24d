"""How long another provider that does not answer is waited for. Pure."""

from __future__ import annotations

from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""How long payments wait for a second provider that does not answer at all."""
SILENCE_LASTS: Final = 30.0
"""Seconds after which an answer that failed says nothing of the next: patience begins anew."""


class Patience:
    """Times are monotonic seconds, given from outside."""

    def __init__(self) -> None:
        self._alone_since: float | None = None
        self._alone_at = 0.0

    def heard(self) -> None:
        """Somebody else answered."""
        self._alone_since = None

    def over(self, now: float) -> bool:
        """Nobody else answered now; whether that has lasted for too long."""
        if self._alone_since is None or now - self._alone_at > SILENCE_LASTS:
            self._alone_since = now
        self._alone_at = now
        return now - self._alone_since >= PATIENCE_SECONDS
