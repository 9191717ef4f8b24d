"""What the watcher tells, as metrics."""

from __future__ import annotations

from datetime import datetime

from bursar.metrics.families import Families


class WatcherMetrics:
    """A :class:`watcher.observer.WatcherObserver`."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def on_head(self, chain: str, tag: str, number: int) -> None:
        self._families.chain_head_block.labels(chain, tag).set(number)

    def on_cursor(self, chain: str, block: int, lag_blocks: int, lag_seconds: float) -> None:
        self._families.watcher_cursor_block.labels(chain).set(block)
        self._families.watcher_lag_blocks.labels(chain).set(lag_blocks)
        self._families.watcher_lag_seconds.labels(chain).set(lag_seconds)

    def on_standby(self, chain: str) -> None:
        families = self._families
        for gauge in (
            families.watcher_lag_blocks,
            families.watcher_lag_seconds,
            families.watcher_speed,
            families.watcher_eta,
            families.audit_findings,
            families.coverage_gaps,
            families.waiting_payments,
            families.waiting_oldest,
            families.final_withheld,
        ):
            families.zero(gauge, chain)
        for tag in ("safe", "finalized"):  # the newest head this process goes on asking for
            families.zero(families.chain_head_block, chain, tag=tag)

    def on_progress(self, chain: str, blocks_per_second: float, eta_seconds: float) -> None:
        self._families.watcher_speed.labels(chain).set(blocks_per_second)
        self._families.watcher_eta.labels(chain).set(eta_seconds)

    def on_success(self, chain: str, at: datetime) -> None:
        self._families.watcher_last_success.labels(chain).set(at.timestamp())

    def on_logs(self, chain: str, outcome: str, count: int) -> None:
        self._families.watcher_logs.labels(chain, outcome).inc(count)

    def on_watched(self, count: int) -> None:
        self._families.watched_addresses.set(count)

    def on_payment(self, chain: str, token: str, status: str) -> None:
        self._families.payments.labels(chain, token or "other", status).inc()

    def on_detected(self, chain: str, seconds: float) -> None:
        self._families.payment_detection.labels(chain).observe(max(seconds, 0))

    def on_confirmed(self, chain: str, seconds: float) -> None:
        self._families.payment_confirmation.labels(chain).observe(max(seconds, 0))

    def on_reorg(self, chain: str, depth: int) -> None:
        self._families.reorgs.labels(chain).inc()
        self._families.reorg_depth.labels(chain).observe(depth)

    def on_finality_violation(self, chain: str) -> None:
        self._families.finality_violations.labels(chain).inc()

    def on_halted(self, chain: str, halted: bool) -> None:
        self._families.chain_halted.labels(chain).set(int(halted))

    def on_rescan(self, chain: str, trigger: str, blocks: int, found: int) -> None:
        self._families.rescan_blocks.labels(chain, trigger).inc(blocks)
        self._families.rescan_found.labels(chain, trigger).inc(found)

    def on_unverified(self, chain: str, count: int) -> None:
        self._families.unverified_payments.labels(chain).inc(count)

    def on_check(self, chain: str, check: str, good: bool, at: datetime) -> None:
        self._families.watcher_checked_at.labels(chain, check).set(at.timestamp())
        if not good:
            self._families.watcher_check_failures.labels(chain, check).inc()

    def on_audited(self, chain: str, addresses: int) -> None:
        self._families.audited_addresses.labels(chain).inc(addresses)

    def on_findings(self, chain: str, kind: str, count: int) -> None:
        self._families.audit_findings.labels(chain, kind).set(count)

    def on_audit_round(self, chain: str, at: datetime, with_coin: int) -> None:
        self._families.audit_round_at.labels(chain).set(at.timestamp())
        self._families.native_coin_addresses.labels(chain).set(with_coin)

    def on_coverage(self, chain: str, first: int, last: int, hashes: int, gaps: int) -> None:
        self._families.coverage_first.labels(chain).set(first)
        self._families.coverage_last.labels(chain).set(last)
        self._families.coverage_hashes.labels(chain).set(hashes)
        self._families.coverage_gaps.labels(chain).set(gaps)

    def on_waiting(self, chain: str, count: int, oldest: float) -> None:
        self._families.waiting_payments.labels(chain).set(count)
        self._families.waiting_oldest.labels(chain).set(oldest)

    def on_withheld(self, chain: str, seconds: float) -> None:
        self._families.final_withheld.labels(chain).set(seconds)
