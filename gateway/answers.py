"""Shapes of answers: what the OpenAPI document promises (the data come from ledger.views)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import WithJsonSchema

from gateway.requests import (
    DestinationStatusText,
    InvoiceStatusText,
    PaymentStatusText,
    PayoutStatusText,
)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


Decimal = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"})]
When = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Eip55 = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"})]
TxHash = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^0x[0-9a-f]{64}$"})]
Exception_ = Literal[
    "underpaid",
    "overpaid",
    "late",
    "wrong_token",
    "wrong_chain",
    "native_coin",
    "reversed",
    "held",
]


class PayoutTermsAnswer(Answer):
    schedule: str
    minimum_payout: Decimal
    fee_bps: int
    delay: str
    reserve_bps: int
    reserve_for: str


class Merchant(Answer):
    id: str
    name: str
    payout: PayoutTermsAnswer
    next_settlement_at: When | None
    created_at: When


class CreatedMerchant(Merchant):
    api_key: Annotated[str | None, Field(description="shown once; null in a replay")]


class ApiKey(Answer):
    id: str
    name: str | None
    created_at: When
    revoked_at: When | None


class CreatedApiKey(ApiKey):
    api_key: Annotated[str | None, Field(description="shown once; null in a replay")]


class Destination(Answer):
    id: str
    status: DestinationStatusText
    chain: str
    token: str | None
    address: Eip55
    created_at: When
    active_at: When
    revoked_at: When | None


class Option(Answer):
    chain: str
    chain_id: int
    caip2: str
    caip19: str
    token: str
    token_address: Eip55
    decimals: int
    amount: Decimal
    amount_received: Decimal
    amount_due: Decimal
    uri: Annotated[str, Field(description="EIP-681 payment request")]


class Payment(Answer):
    id: str
    invoice: str
    status: PaymentStatusText
    reason: str | None
    held: bool
    chain: str
    token: str | None
    token_address: Eip55
    amount: Decimal
    fee: Decimal
    from_: Annotated[Eip55, Field(alias="from")]
    tx_hash: TxHash
    log_index: int
    block_number: int
    confirmations: int
    payout: str | None
    detected_at: When
    confirmed_at: When | None


class Settlement(Answer):
    status: Literal["none", "due", "scheduled", "paid"]
    payouts: list[str]


class NativeCoin(Answer):
    chain: str
    symbol: str | None
    amount: Decimal


class Invoice(Answer):
    id: str
    status: InvoiceStatusText
    exceptions: list[Exception_]
    amount: Decimal
    currency: str
    address: Eip55
    options: list[Option]
    payments: list[Payment]
    native_coin: list[NativeCoin]
    reference: str | None
    metadata: dict[str, Any] | None
    redirect_url: str | None
    created_at: When
    expires_at: When
    monitor_until: When
    checkout_url: str
    settlement: Settlement


class Payout(Answer):
    id: str
    kind: Literal["settlement", "refund"]
    status: PayoutStatusText
    reason: str | None
    chain: str
    token: str
    caip19: str
    amount: Decimal
    fee: Decimal
    address: Eip55
    invoice: Annotated[str | None, Field(description="of which it is a refund")]
    not_before: When | None
    batch: str | None
    tx_hash: TxHash | None
    created_at: When
    paid_at: When | None


class Approval(Answer):
    id: str
    kind: Literal["payout_destination", "payout", "refund"]
    merchant: str
    since: When
    object: dict[str, Any]


class Decided(Answer):
    model_config = ConfigDict(extra="allow")

    id: str
    status: str


class Balance(Answer):
    chain: str
    token: str
    caip19: str
    pending: Decimal
    available: Decimal
    reserved: Decimal
    held: Decimal
    paid: Decimal
    receivable: Decimal
    unswept: Decimal
    unswept_dust: Decimal


class Entry(Answer):
    id: str
    kind: Literal["posted", "pending", "post", "void"]
    resolves: str | None
    reason: str
    object: str
    chain: str
    token: str
    amount: Decimal
    debit: str
    credit: str
    created_at: When


class Event(Answer):
    id: str
    type: str
    timestamp: When
    api_version: str
    data: dict[str, Any]


class Endpoint(Answer):
    id: str
    url: str
    events: list[str] | None
    status: Literal["enabled", "disabled", "deleted"]
    reason: str | None
    created_at: When


class EndpointWithSecret(Endpoint):
    secret: Annotated[str | None, Field(description="whsec_…, shown once; null in a replay")]


class Delivery(Answer):
    id: str
    endpoint: str
    event: str
    type: str
    object: str
    status: Literal["pending", "delivered", "dead"]
    attempts: int
    response_status: int | None
    error: str | None
    next_attempt_at: When | None
    created_at: When
    delivered_at: When | None


class HoldObject(Answer):
    type: str
    id: str


class Hold(Answer):
    id: str
    kind: str
    object: HoldObject
    merchant: str | None
    reason: str
    since: When
    released_at: When | None
    resolution: str | None


class SuspenseEntry(Answer):
    posting: str
    amount: Decimal
    reason: str
    at: When
    tx_hash: TxHash | None


class Suspended(Answer):
    side: Literal["suspense_out", "suspense_in", "token_loss"]
    chain: str
    token: str
    amount: Decimal
    entries: list[SuspenseEntry]


class ResolvedSuspense(Answer):
    posting: str
    side: str
    chain: str
    token: str
    to: str
    amount: Decimal
    left: Decimal


class Receivable(Answer):
    merchant: str
    chain: str
    token: str
    amount: Decimal


class WrittenOff(Answer):
    merchant: str
    chain: str
    token: str
    amount: Decimal
    left: Decimal


class Redelivery(Answer):
    id: str
    deliveries: list[Delivery]


class Run(Answer):
    """A settlement run; ``plan`` once it is planned, ``payouts`` and ``gas`` in its own GET."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: Literal["requested", "planned", "done"]
    merchant: str | None
    created_at: When


class Pause(Answer):
    scope: str
    since: When
    reason: str | None


class Paused(Answer):
    paused: list[Pause]


class Preview(Answer):
    model_config = ConfigDict(extra="allow")


class CheckAnswer(Answer):
    name: str
    ok: bool
    reason: str


class Ready(Answer):
    ready: bool
    checks: list[CheckAnswer]


class Live(Answer):
    status: Literal["ok"]


class ProblemField(Answer):
    field: str
    message: str


class Problem(Answer):
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[ProblemField]


def page_of(item: type[Answer]) -> dict[str, Any]:
    """Schema of a page of these; refers to the item's component."""
    return {
        "type": "object",
        "required": ["data", "next_cursor"],
        "additionalProperties": False,
        "properties": {
            "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{item.__name__}"}},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
