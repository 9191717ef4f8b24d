"""Bodies and queries of the API, field by field."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StrictBool, StrictStr, field_validator

from gateway.fields import (
    AddressText,
    AmountText,
    BasisPoints,
    Body,
    Instant,
    Limit,
    Metadata,
    Name,
    Price,
    ScheduleText,
    Short,
    Span,
    UnitsText,
    Url,
    Wait,
    WaitSeconds,
)
from ledger.listing import PageQuery
from ledger.outbox import EVENT_TYPES

InvoiceStatusText = Literal[
    "new", "partially_paid", "processing", "paid", "expired", "canceled", "invalid"
]
PaymentStatusText = Literal[
    "detected", "confirming", "confirmed", "ignored", "orphaned", "reversed"
]
PayoutStatusText = Literal[
    "pending_approval",
    "queued",
    "batched",
    "submitted",
    "paid",
    "on_hold",
    "canceled",
    "failed",
]
DestinationStatusText = Literal["cooling_off", "active", "revoked", "pending_approval"]
What = Literal["payouts", "sweeps"]
EventType = Annotated[
    StrictStr, Field(json_schema_extra={"enum": [*EVENT_TYPES]}), Field(max_length=64)
]
Cursor = Annotated[StrictStr, Field(max_length=64, pattern=r"^[a-z]+_[0-9a-z]+$")]


class Empty(Body):
    """No fields: ``{}``, or no body at all."""


class Terms(Body):
    """A merchant's own payout terms; what is left out follows the configuration."""

    schedule: ScheduleText | None = None
    minimum_payout: AmountText | None = None
    fee_bps: BasisPoints | None = None
    delay: Wait | None = None
    reserve_bps: BasisPoints | None = None
    reserve_for: Wait | None = None


class NewMerchant(Body):
    """A merchant to add."""

    name: Name
    payout: Terms | None = None


class NewApiKey(Body):
    """A further key; ``name`` is for its owner's eyes."""

    name: Name | None = None


class IssueApiKey(NewApiKey):
    """A key that an operator gives a merchant.

    ``revoke_others``: every key that it had until now is refused from the same moment.
    """

    revoke_others: StrictBool = False


class NewDestination(Body):
    """Where to be paid; without ``token``: every token of the chain."""

    chain: Short
    address: AddressText
    token: Short | None = None


class NewRefund(Body):
    """What to give back; without ``amount``: all that is left of the invoice.

    ``chain`` and ``token`` are needed where the invoice was paid in several.
    """

    invoice: Short
    address: AddressText
    amount: UnitsText | None = None
    chain: Short | None = None
    token: Short | None = None


class OptionChoice(Body):
    """One way to pay."""

    chain: Short
    token: Short


class NewInvoice(Body):
    """An invoice to open; ``amount`` in whole units of ``currency``."""

    amount: Price
    currency: Short
    reference: Name | None = None
    metadata: Metadata | None = None
    expires_in: Span | None = None
    options: Annotated[list[OptionChoice], Field(min_length=1, max_length=100)] | None = None
    redirect_url: Url | None = None

    @property
    def lifetime(self) -> timedelta | None:
        """``expires_in``, typed."""
        return self.expires_in


class NewEndpoint(Body):
    """Where to be told; without ``events``: of everything but ``payment.ignored``."""

    url: Url
    events: Annotated[list[EventType], Field(min_length=1, max_length=64)] | None = None

    @field_validator("events")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        for name in value or []:
            if name not in EVENT_TYPES:
                raise ValueError(f"{name!r} is not an event type")
        return None if value is None else list(dict.fromkeys(value))


class RunRequest(Body):
    """Settle now; without ``merchant``: all of them."""

    merchant: Short | None = None


class PauseRequest(Body):
    """What to stop or let go on; without fields: everything."""

    chain: Short | None = None
    only: What | None = None
    reason: Name | None = None


class ResumeRequest(Body):
    """What to let go on, with all that is inside it; without fields: everything."""

    chain: Short | None = None
    only: What | None = None


class ResolveRequest(Body):
    """What something in suspense, or a loss, was; without ``amount``: all of it."""

    side: Literal["suspense_out", "suspense_in", "token_loss"]
    chain: Short
    token: Short
    to: Literal["loss", "owner", "merchant", "gas", "fees", "outflow"]
    amount: UnitsText | None = None
    merchant: Short | None = None
    reason: Name


class WriteOffRequest(Body):
    """A debt to give up; without ``amount``: all of it."""

    merchant: Short
    chain: Short
    token: Short
    amount: UnitsText | None = None
    reason: Name


class Page(Body):
    """A page of a list."""

    limit: Limit = 20
    cursor: Cursor | None = None
    created_after: Instant | None = None

    @field_validator("cursor", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return value or None

    def asked(self) -> PageQuery:
        """In the store's terms."""
        return PageQuery(
            limit=self.limit,
            cursor=self.cursor,
            status=getattr(self, "status", None),
            reference=getattr(self, "reference", None),
            created_after=self.created_after,
        )


class InvoicePage(Page):
    status: InvoiceStatusText | None = None
    reference: Name | None = None


class PaymentPage(Page):
    status: PaymentStatusText | None = None
    reference: Name | None = None


class PayoutPage(Page):
    status: PayoutStatusText | None = None
    reference: Name | None = None


class RefundPage(Page):
    status: PayoutStatusText | None = None
    invoice: Short | None = None


class RunPage(Page):
    status: Literal["requested", "planned", "done"] | None = None


class DestinationPage(Page):
    status: DestinationStatusText | None = None


class ApprovalPage(Page):
    limit: Limit = 100


class DeliveryPage(Page):
    status: Literal["pending", "delivered", "dead"] | None = None


class HoldPage(Page):
    status: Literal["open", "released"] | None = "open"


class EventPage(Page):
    type: EventType | None = None


class WaitQuery(Body):
    """Long poll: answer when the status is no longer ``since``, or after ``wait`` seconds."""

    wait: WaitSeconds = 0
    since: InvoiceStatusText | None = None


class MerchantQuery(Body):
    merchant: Short | None = None


class NoQuery(Body):
    """No parameters."""


BodyT = TypeVar("BodyT", bound=Body)
