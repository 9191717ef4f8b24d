"""Label sets that the configuration implies: each begins at zero, so no family is ever empty."""

from __future__ import annotations

from typing import Final

from bursar.metrics.families import Families
from chain.rpc.labels import labels_of
from config.catalogue import Catalogue
from config.chains import ChainSettings
from ledger.findings import KINDS as FINDING_KINDS
from ledger.pauses import SCOPES, scope_of
from ledger.postings import AccountKind
from ledger.states import InvoiceStatus, PaymentStatus, PayoutStatus
from settlement.sweep_policy import Waits
from watcher.observer import CHECKS, LOG_OUTCOMES, RESCAN_TRIGGERS

LANES: Final = ("payouts", "sweeps")
HOLD_KINDS: Final = ("payment", "payout", "chain", "lane", "batch", "destination")
PURPOSES: Final = ("payout", "sweep", "top_up", "transfer", "cancel", "gap", "deploy")
TAGS: Final = ("latest", "safe", "finalized")
HOUSE_NATIVE: Final = (AccountKind.SPONSORS, AccountKind.GAS)
TOKEN_HOLDERS: Final = ("treasury", "deposits")
SPONSORS: Final = ("sponsor_payouts", "sponsor_sweeps")
DELIVERY_OUTCOMES: Final = ("delivered", "retry", "dead", "disabled")
HEDGE_OUTCOMES: Final = ("won", "lost", "failed")
METHODS: Final = (
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getCode",
    "eth_getLogs",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_sendRawTransaction",
)
FIRST_ROUTES: Final = ("/livez", "/readyz", "/metrics")


def begin_at_zero(families: Families, catalogue: Catalogue) -> None:
    """Make every sample that can be named now."""
    for status in InvoiceStatus:
        families.invoices.labels(status.value)
    for payout_status in PayoutStatus:
        families.payouts.labels(payout_status.value)
    for kind in HOLD_KINDS:
        families.holds.labels(kind)
    for scope in SCOPES:
        families.paused.labels(scope_of(scope))
    for outcome in DELIVERY_OUTCOMES:
        families.webhook_deliveries.labels(outcome)
    for route in FIRST_ROUTES:
        families.http_duration.labels(route, "200")
    for chain in catalogue.chains:
        _chain(families, chain)
        _tokens(families, catalogue, chain)


def _chain(families: Families, chain: ChainSettings) -> None:
    name = chain.name
    for family in (
        families.watcher_cursor_block,
        families.watcher_lag_blocks,
        families.watcher_lag_seconds,
        families.watcher_speed,
        families.watcher_eta,
        families.watcher_last_success,
        families.chain_halted,
        families.gas_runway,
        families.reconciled_at,
        families.audit_round_at,
        families.waiting_payments,
        families.waiting_oldest,
        families.final_withheld,
        families.coverage_first,
        families.coverage_last,
        families.coverage_hashes,
        families.coverage_gaps,
        families.native_coin_addresses,
    ):
        family.labels(name)
    for labelled in (
        families.reorgs,
        families.reorg_depth,
        families.finality_violations,
        families.payment_detection,
        families.payment_confirmation,
        families.unverified_payments,
        families.audited_addresses,
        families.payout_batch_size,
        families.sweep_size,
    ):
        labelled.labels(name)
    families.presigned_left.labels(name)  # until the books are counted
    for trigger in RESCAN_TRIGGERS:
        families.rescan_blocks.labels(name, trigger)
        families.rescan_found.labels(name, trigger)
    for check in CHECKS:
        families.watcher_checked_at.labels(name, check)
        families.watcher_check_failures.labels(name, check)
    for kind in FINDING_KINDS:
        families.audit_findings.labels(name, kind)
    for tag in TAGS:
        families.chain_head_block.labels(name, tag)
    for outcome in LOG_OUTCOMES:
        families.watcher_logs.labels(name, outcome)
    for scope in SCOPES:
        families.paused.labels(scope_of(scope, name))
    _lanes(families, name)
    _providers(families, chain)


def _lanes(families: Families, name: str) -> None:
    for lane in LANES:
        for gauge in (
            families.tx_pending,
            families.tx_oldest_pending,
            families.nonce_gap,
            families.lane_halted,
            families.fee_cap_waiting,
        ):
            gauge.labels(name, lane)
        families.tx_replacements.labels(name, lane)
    for purpose in PURPOSES:
        families.tx_fee_native.labels(name, purpose)


def _providers(families: Families, chain: ChainSettings) -> None:
    name = chain.name
    for provider in labels_of(chain.rpc_urls):
        _provider(families, name, provider)


def _provider(families: Families, chain: str, provider: str) -> None:
    families.rpc_up.labels(chain, provider)
    families.rpc_duration.labels(chain, provider)
    for method in METHODS:
        families.rpc_requests.labels(chain, provider, method, "ok")
        families.rpc_calls.labels(chain, provider, method)
    for outcome in HEDGE_OUTCOMES:
        families.rpc_hedges.labels(chain, provider, outcome)


def _tokens(families: Families, catalogue: Catalogue, chain: ChainSettings) -> None:
    name = chain.name
    symbols = [token.symbol for token in catalogue.tokens(name)]
    for status in PaymentStatus:
        families.payments.labels(name, "other", status.value)
    for symbol in symbols:
        families.reconciliation_difference.labels(name, symbol)
        for holder in TOKEN_HOLDERS:
            families.onchain_balance.labels(holder, name, symbol)
        for reason in Waits:
            families.unswept.labels(name, symbol, reason.value)
            families.unswept_deposits.labels(name, symbol, reason.value)
        for outcome in ("paid", "on_hold"):
            families.payouts_finished.labels(name, symbol, outcome)
        for status in PaymentStatus:
            families.payments.labels(name, symbol, status.value)
        for kind in AccountKind:
            if kind not in HOUSE_NATIVE:
                families.ledger_balance.labels(kind.value, name, symbol)
    for sponsor in SPONSORS:
        families.onchain_balance.labels(sponsor, name, chain.native_symbol)
    for kind in HOUSE_NATIVE:
        families.ledger_balance.labels(kind.value, name, chain.native_symbol)
