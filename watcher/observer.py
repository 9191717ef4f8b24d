"""Where the watcher reports what it did; metrics are made of it elsewhere.

Everything is reported after the commit that it tells of.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

LOG_OUTCOMES: Final = (
    "stranger",
    "credited",
    "held",
    "ignored",
    "resumed",
    "duplicate",
)
"""What becomes of a Transfer log: the label of ``watcher_logs_total``."""
RESCAN_TRIGGERS: Final = ("command", "gap", "backup", "audit", "token")

CHECKS: Final = (
    "linked",
    "second_reading",
    "second_provider",
    "receipts_proof",
    "balance_audit",
)
"""Checks of completeness: each is told when it ran and whether it found nothing amiss."""


class WatcherObserver(Protocol):
    """Counts and gauges of the watcher; all of it cheap, none of it may raise."""

    def on_head(self, chain: str, tag: str, number: int) -> None:
        """``tag``: ``latest``, ``safe`` or ``finalized``."""

    def on_cursor(self, chain: str, block: int, lag_blocks: int, lag_seconds: float) -> None:
        """After each pass, also one that found nothing to do."""

    def on_standby(self, chain: str) -> None:
        """Another process leads: what was last told of the present is this one's no more."""

    def on_progress(self, chain: str, blocks_per_second: float, eta_seconds: float) -> None:
        """Of a catch-up; both 0 at the head, and while nothing was read yet."""

    def on_success(self, chain: str, at: datetime) -> None:
        """A pass reached the head."""

    def on_logs(self, chain: str, outcome: str, count: int) -> None:
        """``outcome``: one of :data:`LOG_OUTCOMES`."""

    def on_watched(self, count: int) -> None:
        """Deposit addresses in memory."""

    def on_payment(self, chain: str, token: str, status: str) -> None:
        """A payment entered ``status``; ``token`` is empty for one that is not registered."""

    def on_detected(self, chain: str, seconds: float) -> None:
        """From the block's own time to the commit."""

    def on_confirmed(self, chain: str, seconds: float) -> None:
        """From detection to confirmation."""

    def on_reorg(self, chain: str, depth: int) -> None:
        """A rewind was committed."""

    def on_finality_violation(self, chain: str) -> None:
        """The chain was halted."""

    def on_halted(self, chain: str, halted: bool) -> None:
        """State at each tick."""

    def on_rescan(self, chain: str, trigger: str, blocks: int, found: int) -> None:
        """A chunk was read again; ``found``: payments that the first reading had missed."""

    def on_unverified(self, chain: str, count: int) -> None:
        """Payments confirmed on one provider's word because no other could be asked."""

    def on_check(self, chain: str, check: str, good: bool, at: datetime) -> None:
        """A check of completeness ran: one of :data:`CHECKS`."""

    def on_audited(self, chain: str, addresses: int) -> None:
        """Balances of so many deposit addresses were held against the books."""

    def on_findings(self, chain: str, kind: str, count: int) -> None:
        """Differences that are not explained yet; ``kind``: ``above`` or ``below`` the books."""

    def on_audit_round(self, chain: str, at: datetime, with_coin: int) -> None:
        """All addresses have been looked at; so many of them hold native coin."""

    def on_coverage(self, chain: str, first: int, last: int, hashes: int, gaps: int) -> None:
        """Blocks read in one piece, how many of their hashes are stored, and where none is."""

    def on_waiting(self, chain: str, count: int, oldest: float) -> None:
        """Payments that no second provider or proof bears out yet; seconds of the oldest."""

    def on_withheld(self, chain: str, seconds: float) -> None:
        """How long a block has been final by one provider's word and no other's; 0: none is."""


class SilentObserver:
    """Reports to nobody."""

    def on_head(self, chain: str, tag: str, number: int) -> None: ...

    def on_cursor(self, chain: str, block: int, lag_blocks: int, lag_seconds: float) -> None: ...

    def on_standby(self, chain: str) -> None: ...

    def on_progress(self, chain: str, blocks_per_second: float, eta_seconds: float) -> None: ...

    def on_success(self, chain: str, at: datetime) -> None: ...

    def on_logs(self, chain: str, outcome: str, count: int) -> None: ...

    def on_watched(self, count: int) -> None: ...

    def on_payment(self, chain: str, token: str, status: str) -> None: ...

    def on_detected(self, chain: str, seconds: float) -> None: ...

    def on_confirmed(self, chain: str, seconds: float) -> None: ...

    def on_reorg(self, chain: str, depth: int) -> None: ...

    def on_finality_violation(self, chain: str) -> None: ...

    def on_halted(self, chain: str, halted: bool) -> None: ...

    def on_rescan(self, chain: str, trigger: str, blocks: int, found: int) -> None: ...

    def on_unverified(self, chain: str, count: int) -> None: ...

    def on_check(self, chain: str, check: str, good: bool, at: datetime) -> None: ...

    def on_audited(self, chain: str, addresses: int) -> None: ...

    def on_findings(self, chain: str, kind: str, count: int) -> None: ...

    def on_audit_round(self, chain: str, at: datetime, with_coin: int) -> None: ...

    def on_coverage(self, chain: str, first: int, last: int, hashes: int, gaps: int) -> None: ...

    def on_waiting(self, chain: str, count: int, oldest: float) -> None: ...

    def on_withheld(self, chain: str, seconds: float) -> None: ...
