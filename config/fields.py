"""Field types of the configuration: text as people write it to exact values.

Every validator raises ``ValueError`` with a whole sentence; the reader of the
file adds where it was. Validators of values that may hold credentials never
repeat the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from config.durations import parse_duration
from config.money import FIAT_DECIMALS, parse_amount
from config.schedules import parse_schedule
from config.units import ZERO_ADDRESS, parse_address

T = TypeVar("T")
NATIVE_DECIMALS: Final = 18
GWEI_DECIMALS: Final = 9
_CHAIN_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{2,9}", re.ASCII)
_XPUB: Final = re.compile(r"xpub[1-9A-HJ-NP-Za-km-z]{107}")


def _from_text(parse: Callable[[str], T], like: str) -> Callable[[object], object]:
    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f"must be text in quotes, like {like}")  # noqa: TRY004 - pydantic's
        return parse(value)

    return validate


def _address(text: str) -> bytes:
    address = parse_address(text)
    if address == ZERO_ADDRESS:
        raise ValueError("the zero address is nobody's")
    return address


def _matching(pattern: re.Pattern[str], explanation: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text[:40]!r} {explanation}")
        return text

    return check


def _amount_text(text: str) -> str:
    parse_amount(text, FIAT_DECIMALS)
    return text


def _schedule_text(text: str) -> str:
    parse_schedule(text)
    return text


def _positive_duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if not duration:
        raise ValueError(f"{text!r} must be longer than zero")
    return duration


def _web_url(text: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in schemes or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(f"is not a URL that starts with {' or '.join(s + '://' for s in schemes)}")
    return text


def _rpc_url(text: str) -> str:
    return _web_url(text, ("http", "https"))


def _ws_urls(value: object) -> object:
    if value == "auto":
        return value
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("choice", 'must be "auto" or a list of ws:// or wss:// URLs')
    if not all(isinstance(item, str) for item in value):
        raise PydanticCustomError("choice", "must be text in quotes, like ws://…")
    urls = tuple(_web_url(item, ("ws", "wss")) for item in value)
    if len(set(urls)) != len(urls):
        raise PydanticCustomError("choice", "the same value stands twice")
    return urls


def _public_url(text: str) -> str:
    url = _web_url(text, ("http", "https")).rstrip("/")
    if urlsplit(url).query or urlsplit(url).fragment or "@" in urlsplit(url).netloc:
        raise ValueError("must be scheme, host and at most a path")
    return url


def _database_url(text: str) -> str:
    if text.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
        return text
    raise ValueError('must start with "sqlite+aiosqlite:///" or "postgresql+asyncpg://"')


def _xpub(text: str) -> str:
    if text.startswith("xprv"):
        raise ValueError("is a private key: give the xpub, and treat this xprv as leaked")
    if not _XPUB.fullmatch(text):
        raise ValueError("is not an extended public key (xpub and 107 more characters)")
    return text


def _start_block(value: object) -> object:
    if value == "latest" or (type(value) is int and 0 <= value < 2**63):
        return value
    raise PydanticCustomError("choice", 'must be "latest" or a block number')


def _yes_no_auto(value: object) -> object:
    if value == "auto" or type(value) is bool:
        return value
    raise PydanticCustomError("choice", 'must be true, false or "auto"')


Duration = Annotated[timedelta, BeforeValidator(_from_text(parse_duration, '"30m"'))]
PositiveDuration = Annotated[timedelta, BeforeValidator(_from_text(_positive_duration, '"10s"'))]
Micros = Annotated[
    int, BeforeValidator(_from_text(lambda text: parse_amount(text, FIAT_DECIMALS), '"1.00"'))
]
"""Whole units of a currency as text, held in micros (10**-6)."""
Wei = Annotated[
    int, BeforeValidator(_from_text(lambda text: parse_amount(text, NATIVE_DECIMALS), '"0.5"'))
]
"""Whole native coins as text, held in wei."""
GasPrice = Annotated[
    int, BeforeValidator(_from_text(lambda text: parse_amount(text, GWEI_DECIMALS), '"0.05"'))
]
"""Gwei as text, held in wei per gas."""
AmountText = Annotated[str, BeforeValidator(_from_text(_amount_text, '"1.00"'))]
"""Checked, but parsed only where the token, and so its decimals, is known."""
AddressField = Annotated[bytes, BeforeValidator(_from_text(_address, '"0x…"'))]
ScheduleText = Annotated[str, BeforeValidator(_from_text(_schedule_text, '"0 2 * * *"'))]
RpcUrl = Annotated[str, BeforeValidator(_from_text(_rpc_url, '"https://…"'))]
WsUrls = Annotated[
    Literal["auto"] | tuple[str, ...], Field(max_length=32), BeforeValidator(_ws_urls)
]
PublicUrl = Annotated[str, BeforeValidator(_from_text(_public_url, '"https://pay.example.com"'))]
DatabaseUrl = Annotated[
    str, BeforeValidator(_from_text(_database_url, '"sqlite+aiosqlite:///bursar.db"'))
]
Xpub = Annotated[str, BeforeValidator(_from_text(_xpub, '"xpub…"'))]
ChainNameField = Annotated[
    str,
    BeforeValidator(
        _from_text(
            _matching(_CHAIN_NAME, "is not a chain name: lower-case letters, digits and dashes"),
            '"base"',
        )
    ),
]
Symbol = Annotated[
    str,
    BeforeValidator(
        _from_text(
            _matching(_SYMBOL, "is not a token symbol: 1 to 20 letters, digits, . _ -"), '"USDC"'
        )
    ),
]
Currency = Annotated[
    str,
    BeforeValidator(
        _from_text(_matching(_CURRENCY, "is not a currency: 3 to 10 capitals"), '"USD"')
    ),
]
StartBlock = Annotated[Literal["latest"] | int, BeforeValidator(_start_block)]
YesNoAuto = Annotated[bool | Literal["auto"], BeforeValidator(_yes_no_auto)]
BasisPoints = Annotated[StrictInt, Field(ge=0, le=10_000)]
NonEmpty = Annotated[StrictStr, Field(min_length=1)]
