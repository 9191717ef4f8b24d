"""Every table of Bursar, in one metadata."""

from ledger.schema.base import metadata
from ledger.schema.books import accounts, transfers
from ledger.schema.chain import (
    PAYMENT_OPEN,
    blocks,
    chain_cursors,
    ignored_logs,
    payments,
    provider_ranges,
    sightings,
)
from ledger.schema.completeness import audit_findings, chain_checks
from ledger.schema.deposit_factories import deposit_factories
from ledger.schema.invoices import (
    address_counter,
    deposit_addresses,
    earlier_assignments,
    invoice_options,
    invoices,
)
from ledger.schema.merchants import api_keys, idempotency_keys, merchants, payout_destinations
from ledger.schema.operations import (
    audit_log,
    comparisons,
    events,
    holds,
    installation,
    leases,
    pauses,
    rescans,
    webhook_deliveries,
    webhook_endpoints,
)
from ledger.schema.presigned import (
    presigned_addresses,
    presigned_authorizations,
    presigned_sets,
)
from ledger.schema.settlement import (
    batches,
    lanes,
    payout_run_pages,
    payout_runs,
    payouts,
    sweep_items,
    transactions,
)

__all__ = [
    "PAYMENT_OPEN",
    "accounts",
    "address_counter",
    "api_keys",
    "audit_findings",
    "audit_log",
    "batches",
    "blocks",
    "chain_checks",
    "chain_cursors",
    "comparisons",
    "deposit_addresses",
    "deposit_factories",
    "earlier_assignments",
    "events",
    "holds",
    "idempotency_keys",
    "ignored_logs",
    "installation",
    "invoice_options",
    "invoices",
    "lanes",
    "leases",
    "merchants",
    "metadata",
    "pauses",
    "payments",
    "payout_destinations",
    "payout_run_pages",
    "payout_runs",
    "payouts",
    "presigned_addresses",
    "presigned_authorizations",
    "presigned_sets",
    "provider_ranges",
    "rescans",
    "sightings",
    "sweep_items",
    "transactions",
    "transfers",
    "webhook_deliveries",
    "webhook_endpoints",
]
