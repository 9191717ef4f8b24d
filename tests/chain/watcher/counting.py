"""What the watcher told, kept for a test."""

from __future__ import annotations

from datetime import datetime

from watcher.observer import SilentObserver


class Counting(SilentObserver):
    """Keeps what a test wants to know."""

    def __init__(self) -> None:
        self.logs: dict[str, int] = {}
        self.reorgs: list[int] = []
        self.violations = 0
        self.rescans: list[tuple[str, int, int]] = []
        self.unverified = 0
        self.findings: dict[str, int] = {}
        self.with_coin: int | None = None
        self.checks: dict[str, datetime] = {}
        self.coverage: tuple[int, int, int, int] | None = None
        self.waiting = (0, 0.0)
        self.withheld = 0.0
        self.progress: list[float] = []

    def on_progress(self, chain: str, blocks_per_second: float, eta_seconds: float) -> None:
        self.progress.append(eta_seconds)

    def on_logs(self, chain: str, outcome: str, count: int) -> None:
        self.logs[outcome] = self.logs.get(outcome, 0) + count

    def on_reorg(self, chain: str, depth: int) -> None:
        self.reorgs.append(depth)

    def on_finality_violation(self, chain: str) -> None:
        self.violations += 1

    def on_rescan(self, chain: str, trigger: str, blocks: int, found: int) -> None:
        self.rescans.append((trigger, blocks, found))

    def on_unverified(self, chain: str, count: int) -> None:
        self.unverified += count

    def on_check(self, chain: str, check: str, good: bool, at: datetime) -> None:
        self.checks[check] = at

    def on_coverage(self, chain: str, first: int, last: int, hashes: int, gaps: int) -> None:
        self.coverage = (first, last, hashes, gaps)

    def on_waiting(self, chain: str, count: int, oldest: float) -> None:
        self.waiting = (count, oldest)

    def on_withheld(self, chain: str, seconds: float) -> None:
        self.withheld = seconds

    def on_findings(self, chain: str, kind: str, count: int) -> None:
        self.findings[kind] = count

    def on_audit_round(self, chain: str, at: datetime, with_coin: int) -> None:
        self.with_coin = with_coin
