"""How long a catch-up will still take. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A catch-up since ``started`` (monotonic seconds) from block ``first``."""

    started: float
    first: int

    def speed(self, now: float, cursor: int) -> float:
        """Blocks a second so far; 0 before anything was read."""
        elapsed = now - self.started
        return (cursor - self.first) / elapsed if elapsed > 0 else 0.0

    def eta(self, now: float, cursor: int, head: int) -> float | None:
        """Seconds to the head at the speed so far; ``None`` while that is unknown."""
        speed = self.speed(now, cursor)
        return max(0, head - cursor) / speed if speed > 0 else None
