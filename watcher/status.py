"""What a watcher can say of itself: for readiness, metrics and people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What one tick did."""

    IDLE = "idle"
    ADVANCED = "advanced"
    REWOUND = "rewound"
    RESCANNED = "rescanned"
    AUDITED = "audited"
    AGAIN = "again"
    """The pass was given up and is to be read anew: new addresses, or too large a range."""
    HALTED = "halted"
    STANDBY = "standby"
    """Another process leads this chain."""


@dataclass(frozen=True, slots=True)
class TickResult:
    """``more``: there is work left that need not wait for the next poll."""

    outcome: Outcome
    blocks: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class WatcherStatus:
    """Where a chain's scan stands, as of the last tick.

    :param head: newest block that a provider reported; ``None`` before the first answer.
    :param behind: head less cursor.
    :param eta_seconds: time to the head at the speed so far, while catching up.
    :param halted: why crediting stopped, until an operator clears it.
    :param problem: what the last tick failed with; ``None`` after one that succeeded.
    :param last_success: when a tick last found the cursor at the head.
    :param second_opinion: whether another provider bears payments out before they count;
        ``None``: only one is configured.
    :param checks: when each check of completeness last ran (:data:`watcher.observer.CHECKS`).
    """

    chain: str
    head: int | None
    cursor: int | None
    final: int | None
    behind: int | None
    eta_seconds: float | None
    halted: str | None
    problem: str | None
    last_success: datetime | None
    leading: bool
    second_opinion: bool | None
    checks: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Following the chain, or standing by for the process that does."""
        if not self.leading and self.problem is None:
            return True
        return self.halted is None and self.problem is None and self.cursor is not None
