"""Telling what happened, once it is committed: status, metrics, log lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from chain.model import BlockHeader
from config.chains import ChainSettings
from config.clock import Clock
from config.errors import BursarError
from config.log import get_logger
from config.units import to_hex
from ledger.chain_checks import CheckRun
from ledger.coverage import Coverage
from ledger.cursors import BlockRow, Cursor
from ledger.findings import Finding
from ledger.payments import Recorded
from ledger.states import PaymentStatus
from watcher.audit import Verdict
from watcher.effects import Effects, Pass
from watcher.observer import CHECKS, WatcherObserver
from watcher.progress import Progress
from watcher.status import WatcherStatus

log = get_logger(__name__)

_CATCHING_UP: Final = 100
"""Blocks behind the head from which progress is told."""
_TELL_EVERY: Final = 10.0
"""Seconds between two lines of progress, and between two of the same problem."""


class Report:
    """The last known state of one chain's watcher."""

    def __init__(self, chain: ChainSettings, clock: Clock, observer: WatcherObserver) -> None:
        self._chain = chain.name
        self._clock = clock
        self._observer = observer
        self._head: BlockHeader | None = None
        self._cursor: Cursor | None = None
        self._top: int | None = None
        self._final: int | None = None
        self._problem: str | None = None
        self._problem_told = 0.0
        self._last_success: datetime | None = None
        self._leading = True
        self._two_agree = True
        self._checks: dict[str, datetime] = {}
        self._progress: Progress | None = None
        self._progress_told = 0.0

    def status(self, providers: int) -> WatcherStatus:
        """For readiness, metrics and people."""
        head = None if self._head is None else int(self._head.number)
        behind = None if head is None or self._top is None else max(0, head - self._top)
        now = self._clock.monotonic()
        eta = None
        if self._progress is not None and head is not None and self._top is not None:
            eta = self._progress.eta(now, self._top, head)
        return WatcherStatus(
            chain=self._chain,
            head=head,
            cursor=self._top,
            final=self._final,
            behind=behind,
            eta_seconds=eta,
            halted=None if self._cursor is None else self._cursor.halted_reason,
            problem=self._problem,
            last_success=self._last_success,
            leading=self._leading,
            second_opinion=None if providers < 2 else self._two_agree,
            checks=dict(self._checks),
        )

    # --- before reading ----------------------------------------------------------------

    def at(self, cursor: Cursor) -> None:
        """The books as this tick found them."""
        self._leading = True
        self._take(cursor)
        self._observer.on_halted(self._chain, cursor.halted_reason is not None)

    def standing_by(self, cursor: Cursor | None) -> None:
        """Another process leads."""
        if self._leading:
            self._progress = None
            self._observer.on_standby(self._chain)
        self._leading = False
        self._problem = None
        if cursor is not None:
            self._take(cursor)

    def _take(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._top, self._final = cursor.cursor.number, cursor.final.number

    def looked(self, cursor: Cursor, head: BlockHeader, tags: Mapping[str, int]) -> None:
        """The chain as a provider shows it."""
        self._head = head
        self._observer.on_head(self._chain, "latest", head.number)
        for tag, number in tags.items():
            self._observer.on_head(self._chain, tag, number)
        behind = head.number - cursor.cursor.number
        # Now, not only once it is read: a pass that fails again and again falls behind unseen.
        lag = head.timestamp - int(cursor.cursor_time.timestamp()) if behind > 0 else 0
        self._observer.on_cursor(
            self._chain, cursor.cursor.number, max(0, behind), float(max(0, lag))
        )
        if behind >= _CATCHING_UP and self._progress is None:
            self._progress = Progress(self._clock.monotonic(), cursor.cursor.number)
            self._progress_told = self._progress.started
            log.info("catching_up", chain=self._chain, behind=behind)
        elif behind <= 0 and self._progress is not None:
            self._progress = None
            self._observer.on_progress(self._chain, 0.0, 0.0)
            log.info("caught_up", chain=self._chain, cursor=cursor.cursor.number)

    def watching(self, count: int) -> None:
        """Addresses in memory."""
        self._observer.on_watched(count)

    # --- after commits -----------------------------------------------------------------

    def committed(
        self, work: Pass, effects: Effects, head: BlockHeader, now: datetime, watched: int
    ) -> None:
        """A pass."""
        self._top, self._final = work.top.number, effects.final.number
        if work.headers:
            self.checked("linked", good=True)
        if work.headers:
            self._cursor_moved(head, work.headers[-1].timestamp, work.top.number)
        self._observer.on_watched(watched)
        if work.scan is not None:
            matched = len(work.sightings)
            self._count("stranger", work.scan.matcher.read - matched + effects.recorded.strangers)
        self._recorded(effects.recorded, now)
        for token in effects.confirming:
            self._observer.on_payment(self._chain, token, PaymentStatus.CONFIRMING.value)
        for move in effects.moves:
            row = move.payment
            self._observer.on_payment(self._chain, row["token"] or "", move.status.value)
            if move.status is PaymentStatus.CONFIRMED:
                waited = (now - row["detected_at"]).total_seconds()
                self._observer.on_confirmed(self._chain, max(0.0, waited))

    def _cursor_moved(self, head: BlockHeader, timestamp: int, top: int) -> None:
        lag_seconds = float(max(0, head.timestamp - timestamp))
        self._observer.on_cursor(self._chain, top, max(0, head.number - top), lag_seconds)
        progress, now = self._progress, self._clock.monotonic()
        if progress is None:
            return
        speed, eta = progress.speed(now, top), progress.eta(now, top, head.number)
        self._observer.on_progress(self._chain, speed, eta or 0.0)
        if now - self._progress_told >= _TELL_EVERY:
            self._progress_told = now
            log.info(
                "catching_up",
                chain=self._chain,
                cursor=top,
                behind=head.number - top,
                blocks_per_second=round(speed, 1),
                eta_seconds=None if eta is None else round(eta),
            )

    def at_head(self, cursor: Cursor, head: BlockHeader) -> None:
        """There was nothing to read."""
        behind = max(0, head.number - cursor.cursor.number)
        self._observer.on_cursor(self._chain, cursor.cursor.number, behind, 0.0)

    def _recorded(self, recorded: Recorded, now: datetime) -> None:
        self._count("credited", recorded.credited)
        self._count("held", recorded.held)
        self._count("ignored", recorded.ignored)
        self._count("resumed", recorded.resumed)
        self._count("duplicate", recorded.duplicates)
        for row in recorded.entered:
            self._observer.on_payment(self._chain, row["token"] or "", row["status"])
            if row["status"] == PaymentStatus.DETECTED:
                waited = (now - row["block_time"]).total_seconds()
                self._observer.on_detected(self._chain, max(0.0, waited))

    def _count(self, outcome: str, count: int) -> None:
        if count > 0:
            self._observer.on_logs(self._chain, outcome, count)

    def reread(self, trigger: str, blocks: int, recorded: Recorded) -> None:
        """A chunk of a rescan."""
        if trigger == "backup":
            self.checked("second_reading", good=not (recorded.credited + recorded.held))
        self._observer.on_rescan(self._chain, trigger, blocks, recorded.found)
        self._recorded(recorded, self._clock.now())
        if recorded.found:
            log.warning(
                "missed_payments_found", chain=self._chain, trigger=trigger, count=recorded.found
            )

    def audited(self, verdict: Verdict, addresses: int, with_coin: int | None) -> None:
        """A page of deposit addresses; ``with_coin``: at the end of a round, of all of it."""
        self.checked("balance_audit", good=not verdict.differences)
        self._observer.on_audited(self._chain, addresses)
        if with_coin is not None:
            self._observer.on_audit_round(self._chain, self._clock.now(), with_coin)
        for found in verdict.differences:
            log.warning(
                "balance_differs",
                chain=self._chain,
                address=to_hex(found.owner.address),
                token=to_hex(found.token_address),
                expected=found.expected,
                found=found.found,
            )
        if verdict.unreadable:
            log.warning("balances_not_told", chain=self._chain, count=verdict.unreadable)

    def findings(self, counts: Mapping[str, int]) -> None:
        """Differences that stand."""
        for kind, count in counts.items():
            self._observer.on_findings(self._chain, kind, count)

    @property
    def checks(self) -> Mapping[str, datetime]:
        """When each check last ran."""
        return self._checks

    def remember(self, runs: Mapping[str, CheckRun]) -> None:
        """Checks of an earlier process: they have not been forgotten by a restart."""
        for name, run in runs.items():
            if name in CHECKS and name not in self._checks:
                self._checks[name] = run.at
                self._observer.on_check(self._chain, name, True, run.at)

    def covered(self, found: Coverage) -> None:
        """What is proven to have been read."""
        self._observer.on_coverage(
            self._chain, found.first, found.last, found.hashes, len(found.gaps)
        )
        for gap in found.gaps:
            log.error(
                "coverage_gap", chain=self._chain, above=gap.above, below=gap.below, why=gap.why
            )

    def audit_failed(self, error: BursarError) -> None:
        """Nobody could tell balances, or show logs, just now."""
        log.warning("balance_audit_failed", chain=self._chain, error=str(error))

    def unexplained(self, finding: Finding) -> None:
        """No provider shows the Transfer that a balance speaks of."""
        log.error(
            "balance_not_explained",
            chain=self._chain,
            address=to_hex(finding.address),
            token=to_hex(finding.token_address),
            expected=finding.expected,
            found=finding.found,
            remedy="see bursar holds list",
        )

    def second_reading_failed(self, error: BursarError) -> None:
        """The other provider could not, or would not, show final blocks."""
        log.warning("second_reading_failed", chain=self._chain, error=str(error))

    def late_token_failed(self, block: int, error: BursarError) -> None:
        """Nobody could show a block in which a token lies that was registered afterwards."""
        log.warning("late_token_failed", chain=self._chain, block=block, error=str(error))

    def rewound(self, depth: int, ancestor: BlockRow, invoices: int) -> None:
        """A reorg was followed."""
        self._top = ancestor.number
        self._observer.on_reorg(self._chain, depth)
        log.warning(
            "reorg", chain=self._chain, depth=depth, ancestor=ancestor.number, invoices=invoices
        )

    def violated(self, reason: str) -> None:
        """The chain was halted."""
        self._observer.on_finality_violation(self._chain)
        self._observer.on_halted(self._chain, True)
        log.critical(
            "finality_violation",
            chain=self._chain,
            reason=reason,
            remedy="crediting and paying stop on this chain until an operator clears it",
        )

    def checked(self, check: str, *, good: bool) -> None:
        """A check of completeness ran: one of :data:`watcher.observer.CHECKS`."""
        now = self._clock.now()
        self._checks[check] = now
        self._observer.on_check(self._chain, check, good, now)

    def second_opinion(self, asked: int, refused: int) -> None:
        """Two providers were asked about payments."""
        self.checked("second_provider", good=not refused)
        self._two_agree = True
        if refused:
            log.warning("providers_disagree", chain=self._chain, asked=asked, refused=refused)

    def final_disputed(self, number: int, provider: str) -> None:
        """Another provider has another block there, at or below what the pass holds as final."""
        self.checked("second_provider", good=False)
        log.warning("final_block_disputed", chain=self._chain, block=number, provider=provider)

    def withheld(self, seconds: float) -> None:
        """Since when something is final by one provider's word, and by no other's; 0: nothing."""
        self._observer.on_withheld(self._chain, seconds)

    def waiting(self, count: int, oldest: float) -> None:
        """Payments that would be confirmed but for a second opinion or a proof."""
        self._observer.on_waiting(self._chain, count, oldest)

    def refuted(self, count: int) -> None:
        """Payments that providers or a proof deny for good are taken back."""
        log.error("payments_refuted", chain=self._chain, count=count)

    def unverified(self, count: int) -> None:
        """Payments are confirmed on one provider's word."""
        self._two_agree = False
        self._observer.on_unverified(self._chain, count)
        log.warning("confirmed_by_one_provider", chain=self._chain, payments=count)

    # --- how it went -------------------------------------------------------------------

    def succeeded(self, *, at_head: bool) -> None:
        """A tick ended without an error."""
        if self._problem is not None:
            log.info("watcher_recovered", chain=self._chain)
        self._problem = None
        if at_head:
            self._last_success = self._clock.now()
            self._observer.on_success(self._chain, self._last_success)

    def failed(self, error: BursarError) -> None:
        """A tick ended with an error that the next one may get over."""
        now = self._clock.monotonic()
        if str(error) != self._problem or now - self._problem_told >= _TELL_EVERY:
            self._problem_told = now
            log.warning("watcher_failed", chain=self._chain, error=str(error))
        self._problem = str(error)
