"""Field types of requests: text as merchants write it, checked, with its JSON Schema."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr
from pydantic.json_schema import WithJsonSchema

from config.durations import parse_duration
from config.money import FIAT_DECIMALS, parse_amount, parse_units
from config.schedules import parse_schedule
from config.units import parse_address
from gateway.body import is_safe_text

AMOUNT_PATTERN: Final = r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,6})?$"
UNITS_PATTERN: Final = r"^(0|[1-9][0-9]{0,77})(\.[0-9]{1,77})?$"
MOST_DECIMALS: Final = 77
DURATION_PATTERN: Final = r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$"
METADATA_BYTES: Final = 16 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPACED_OFFSET: Final = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")


class Body(BaseModel):
    """A request's body or query: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _text(parse: Callable[[str], Any], like: str) -> BeforeValidator:
    def validate(value: object) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"must be a string, like {like}")  # noqa: TRY004 - pydantic's
        return parse(value)

    return BeforeValidator(validate)


def _amount(text: str) -> int:
    amount = parse_amount(text, FIAT_DECIMALS)
    if amount == 0:
        raise ValueError("must be above zero")
    return amount


def _amount_text(text: str) -> str:
    parse_amount(text, FIAT_DECIMALS)
    return text


def _units_text(text: str) -> str:
    parse_units(text, MOST_DECIMALS)
    return text


def _duration(text: str) -> Any:
    duration = parse_duration(text)
    if not duration:
        raise ValueError("must be longer than zero")
    return duration


def _schedule(text: str) -> str:
    parse_schedule(text)
    return text


def _instant(text: str) -> datetime:
    # A "+" that was not escaped in a query arrives as a space.
    try:
        moment = datetime.fromisoformat(_SPACED_OFFSET.sub("+", text))
        if moment.tzinfo is None:
            raise ValueError  # noqa: TRY301 - the same answer as for no time at all
        return max(moment.astimezone(UTC), _EPOCH)
    except (ValueError, OverflowError):
        raise ValueError("is not an RFC 3339 time, like 2026-01-31T12:00:00Z") from None


def _safe(text: str) -> str:
    if not is_safe_text(text):
        raise ValueError("holds a NUL character or half of a surrogate pair")
    return text


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(value)) > METADATA_BYTES:
        raise ValueError(f"is larger than {METADATA_BYTES} bytes")
    return value


def _web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or not text.isascii():
        raise ValueError("is not an http:// or https:// URL in ASCII")
    if parts.username is not None or re.search(r"[\s\x00-\x1f\x7f\\<>\"]", text):
        raise ValueError("must not hold user names, spaces or control characters")
    return text


def _whole(text: object) -> object:
    """Digits of a query to an integer; anything else is left to fail."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}", text) else text


def is_literal_address(host: str) -> bool:
    """Whether a URL's host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return False
    return True


Price = Annotated[
    int,
    _text(_amount, '"12.50"'),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": AMOUNT_PATTERN,
            "not": {"pattern": r"^0(\.0+)?$"},
            "examples": ["12.50"],
        }
    ),
]
"""Whole units as text, above zero; held in micros."""
AmountText = Annotated[
    str,
    _text(_amount_text, '"1.00"'),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["1.00"]}),
]
UnitsText = Annotated[
    str,
    _text(_units_text, '"1.00"'),
    WithJsonSchema({"type": "string", "pattern": UNITS_PATTERN, "examples": ["1.00"]}),
]
"""Part of an amount that is there: as fine as its token."""
Span = Annotated[
    Any,
    _text(_duration, '"30m"'),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30m"]}),
]
"""A positive duration; held as ``timedelta``."""
Wait = Annotated[
    Any,
    _text(parse_duration, '"0s" or "7d"'),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["7d"]}),
]
"""A duration, none included; held as ``timedelta``."""
ScheduleText = Annotated[
    str,
    _text(_schedule, '"0 2 * * *" or "every 10s"'),
    WithJsonSchema({"type": "string", "examples": ["0 2 * * *", "every 10s"], "maxLength": 200}),
]
"""Five cron fields with an optional time zone, or an interval."""
AddressText = Annotated[
    bytes,
    _text(parse_address, '"0x…"'),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^0x[0-9a-fA-F]{40}$",
            "description": "EIP-55; all lower or all upper case is taken too",
            "examples": ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
        }
    ),
]
Instant = Annotated[
    datetime,
    _text(_instant, '"2026-01-31T12:00:00Z"'),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
"""Any JSON object of at most 16 KiB, given back as it came."""
Name = Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_safe)]
Short = Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_safe)]
Url = Annotated[
    StrictStr,
    Field(min_length=8, max_length=2048),
    AfterValidator(_web_url),
    WithJsonSchema({"type": "string", "format": "uri", "maxLength": 2048}),
]
Limit = Annotated[int, Field(ge=1, le=100, strict=True), BeforeValidator(_whole)]
WaitSeconds = Annotated[int, Field(ge=0, le=60, strict=True), BeforeValidator(_whole)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000, strict=True)]
