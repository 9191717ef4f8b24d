"""Every metric family, in a registry of its own, with its known label sets at zero.

Prometheus keeps 64-bit floats by nature. Amounts become floats here, at the
very edge and for display only: above 2**53 base units a gauge shows a rounded
number, and nothing is ever computed from it. Amounts are in base units of the
token (wei for the native coin), so that a difference of one unit shows as 1.

Labels come from closed sets only (configured chains, tokens, providers; states
of the code), never ids, addresses or whatever a caller sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

PREFIX: Final = "bursar"
_FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
_SIZES: Final = (1, 2, 5, 10, 25, 50, 100, 200, 400)
_DEPTHS: Final = (1, 2, 3, 5, 8, 16, 32, 64)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Families:
    """The families of ``docs/metrics.md``; one instance a process."""

    def __init__(self) -> None:
        # The "_created" series double what is scraped and nothing here reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self._chain_families()
        self._completeness_families()
        self._rpc_families()
        self._payment_families()
        self._sending_families()
        self._books_families()
        self._process_families()

    def exposition(self) -> bytes:
        """All samples in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def _chain_families(self) -> None:
        self.chain_head_block = self._gauge(
            "chain_head_block", "Highest block that a provider reported.", "chain", "tag"
        )
        self.watcher_cursor_block = self._gauge(
            "watcher_cursor_block", "Block up to which all is committed.", "chain"
        )
        self.watcher_lag_blocks = self._gauge(
            "watcher_lag_blocks", "Head less cursor, in blocks.", "chain"
        )
        self.watcher_lag_seconds = self._gauge(
            "watcher_lag_seconds", "How far the cursor's block lies behind the head's.", "chain"
        )
        self.watcher_speed = self._gauge(
            "watcher_catch_up_blocks_per_second",
            "Speed of a catch-up since it began; 0 at the head.",
            "chain",
        )
        self.watcher_eta = self._gauge(
            "watcher_catch_up_eta_seconds",
            "Time that a catch-up still takes at its speed so far; 0 at the head.",
            "chain",
        )
        self.watcher_last_success = self._gauge(
            "watcher_last_success_timestamp_seconds",
            "Unix time of the last pass that reached the head; 0 before the first.",
            "chain",
        )
        self.watcher_logs = self._counter(
            "watcher_logs", "Transfer logs read, by what became of them.", "chain", "outcome"
        )
        self.chain_halted = self._gauge(
            "chain_halted", "1 after a finality violation, until an operator clears it.", "chain"
        )
        self.watched_addresses = self._gauge("watched_addresses", "Deposit addresses watched.")
        self.presigned_left = self._gauge(
            "presigned_addresses_left",
            "Presigned deposit addresses not handed out yet; +Inf where an xpub derives them.",
            "chain",
        )
        self.reorgs = self._counter("reorgs", "Reorganisations followed.", "chain")
        self.reorg_depth = self._histogram(
            "reorg_depth_blocks", "Blocks that a reorganisation undid.", _DEPTHS, "chain"
        )
        self.finality_violations = self._counter(
            "finality_violations", "Reorganisations below a block held as final.", "chain"
        )
        self.rescan_blocks = self._counter(
            "rescan_blocks", "Blocks read a second time.", "chain", "trigger"
        )
        self.rescan_found = self._counter(
            "rescan_found", "Payments that the first reading had missed.", "chain", "trigger"
        )

    def _completeness_families(self) -> None:
        self.watcher_checked_at = self._gauge(
            "watcher_check_timestamp_seconds",
            "Unix time at which a check of completeness last ran; 0 before the first.",
            "chain",
            "check",
        )
        self.watcher_check_failures = self._counter(
            "watcher_check_failures", "Checks of completeness that found something amiss.",
            "chain", "check",
        )  # fmt: skip
        self.coverage_first = self._gauge(
            "watcher_coverage_first_block", "First block that was ever read.", "chain"
        )
        self.coverage_last = self._gauge(
            "watcher_coverage_last_block", "Block up to which all were read in one piece.", "chain"
        )
        self.coverage_hashes = self._gauge(
            "watcher_coverage_hashes", "Hashes of these blocks that are stored.", "chain"
        )
        self.coverage_gaps = self._gauge(
            "watcher_coverage_gaps", "Places between them that nothing proves; 0 is right.", "chain"
        )
        self.audited_addresses = self._counter(
            "balance_audit_addresses", "Deposit addresses whose balances were audited.", "chain"
        )
        self.audit_findings = self._gauge(
            "balance_audit_findings", "Addresses that hold another balance than the books say.",
            "chain", "kind",
        )  # fmt: skip
        self.audit_round_at = self._gauge(
            "balance_audit_round_timestamp_seconds",
            "Unix time at which a round over all addresses came to its end; 0 before the first.",
            "chain",
        )
        self.native_coin_addresses = self._gauge(
            "native_coin_addresses", "Deposit addresses that held native coin in the last round.",
            "chain",
        )  # fmt: skip

    def _rpc_families(self) -> None:
        self.rpc_requests = self._counter(
            "rpc_requests", "RPC requests.", "chain", "provider", "method", "outcome"
        )
        self.rpc_calls = self._counter(
            "rpc_calls", "Calls in those requests, as billed.", "chain", "provider", "method"
        )
        self.rpc_hedges = self._counter(
            "rpc_hedges", "Slow requests given to a second provider.", "chain", "provider",
            "outcome",
        )  # fmt: skip
        self.rpc_duration = self._histogram(
            "rpc_request_duration_seconds", "Time of an RPC request.", _FAST, "chain", "provider"
        )
        self.rpc_up = self._gauge(
            "rpc_up", "1 while the provider answers and serves this chain.", "chain", "provider"
        )

    def _payment_families(self) -> None:
        self.invoices = self._gauge("invoices", "Invoices by status.", "status")
        self.payments = self._counter(
            "payments", "Payments that entered a status.", "chain", "token", "status"
        )
        self.payment_detection = self._histogram(
            "payment_detection_seconds", "From a payment's block to its detection.", _WAITS, "chain"
        )
        self.payment_confirmation = self._histogram(
            "payment_confirmation_seconds", "From detection to confirmation.", _WAITS, "chain"
        )
        self.waiting_payments = self._gauge(
            "unproven_payments", "Payments that only a second opinion or a proof is missing for.",
            "chain",
        )  # fmt: skip
        self.waiting_oldest = self._gauge(
            "unproven_payment_oldest_seconds", "How long the oldest of them has been waiting.",
            "chain",
        )  # fmt: skip
        self.final_withheld = self._gauge(
            "final_withheld_seconds",
            "How long a block has been final by one provider's word and no other's; 0: none is.",
            "chain",
        )
        self.unverified_payments = self._counter(
            "unverified_payments", "Payments confirmed on one provider's word alone.", "chain"
        )

    def _sending_families(self) -> None:
        self.payouts = self._gauge("payouts", "Payouts by status.", "status")
        self.payout_oldest_due = self._gauge(
            "payout_oldest_due_seconds", "Age of the oldest payout that is due and not paid."
        )
        self.payout_batch_size = self._histogram(
            "payout_batch_size", "Payouts in a sealed batch.", _SIZES, "chain"
        )
        self.sweep_size = self._histogram(
            "sweep_batch_size", "Deposits in a sealed sweep.", _SIZES, "chain"
        )
        self.payouts_finished = self._counter(
            "payouts_finished", "Payouts of executed batches.", "chain", "token", "outcome"
        )
        self.tx_pending = self._gauge(
            "tx_pending", "Transactions signed or sent and not mined.", "chain", "lane"
        )
        self.tx_oldest_pending = self._gauge(
            "tx_oldest_pending_seconds", "Age of the oldest of them.", "chain", "lane"
        )
        self.tx_replacements = self._counter(
            "tx_replacements", "Attempts signed to replace an earlier one.", "chain", "lane"
        )
        self.tx_fee_native = self._counter(
            "tx_fee_native", "Wei paid for final transactions.", "chain", "purpose"
        )
        self.unswept = self._gauge(
            "unswept", "Confirmed money still at deposit addresses, base units, by reason.",
            "chain", "token", "reason",
        )  # fmt: skip
        self.unswept_deposits = self._gauge(
            "unswept_deposits", "Deposit addresses that it lies at.", "chain", "token", "reason"
        )
        self.gas_runway = self._gauge(
            "gas_runway_payouts", "Payouts that the sponsor can still pay gas for.", "chain"
        )
        self.nonce_gap = self._gauge(
            "nonce_gap", "The books' next nonce less the chain's; not 0 asks for help.",
            "chain", "lane",
        )  # fmt: skip
        self.fee_cap_waiting = self._gauge(
            "fee_cap_waiting", "1 while a lane waits for gas to cost less than fee_cap allows.",
            "chain", "lane",
        )  # fmt: skip
        self.lane_halted = self._gauge(
            "lane_halted", "1 while a lane waits for an operator.", "chain", "lane"
        )

    def _books_families(self) -> None:
        self.ledger_balance = self._gauge(
            "ledger_balance", "Balance per kind of account, base units.",
            "account", "chain", "token",
        )  # fmt: skip
        self.onchain_balance = self._gauge(
            "onchain_balance", "Balance on chain, base units.", "role", "chain", "token"
        )
        self.reconciliation_difference = self._gauge(
            "reconciliation_difference",
            "Chain less ledger at the last reconciliation, base units; 0 when they agree.",
            "chain", "token",
        )  # fmt: skip
        self.reconciled_at = self._gauge(
            "reconciliation_timestamp_seconds",
            "Unix time of the last reconciliation; 0 before the first.",
            "chain",
        )
        self.holds = self._gauge("holds", "Open holds by kind.", "kind")
        self.paused = self._gauge("paused", "1 while the stop switch of a scope is on.", "scope")
        self.webhook_deliveries = self._counter(
            "webhook_deliveries", "Attempts to deliver a webhook.", "outcome"
        )
        self.webhook_oldest_pending = self._gauge(
            "webhook_oldest_pending_seconds", "Age of the oldest delivery not made yet."
        )

    def _process_families(self) -> None:
        self.http_duration = self._histogram(
            "http_request_duration_seconds", "Time of an HTTP request.", _FAST, "route", "code"
        )
        self.task_up = self._gauge("task_up", "1 while a task of the daemon runs.", "task")
        self.task_deaths = self._counter("task_deaths", "Deaths of a task.", "task")
        self.ready = self._gauge("ready", "1 while /readyz answers 200.")
        self.figures_age = self._gauge(
            "figures_refresh_seconds", "How long the last count over the books took."
        )
        self.build_info = self._gauge("build_info", "Always 1.", "version", "schema", "role")

    @staticmethod
    def zero(gauge: Gauge, chain: str, **labels: str) -> None:
        """Show nothing of a chain any more, or of those of its samples that have these labels."""
        wanted = {"chain": chain, **labels}.items()
        for family in gauge.collect():
            for sample in family.samples:
                if wanted <= sample.labels.items():
                    gauge.labels(**sample.labels).set(0)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            f"{PREFIX}_{name}", text, labels, buckets=tuple(buckets), registry=self.registry
        )
