"""The pure parts of the door: buckets, bodies, import lines, checkout texts, validation texts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import segno

from config.errors import BursarError, ConflictError, InvalidInputError, NotFoundError
from config.models import InvoiceSettings, RateLimit
from gateway.body import MAX_DEPTH, depth_of, parse_json
from gateway.checkout.qr import qr_svg
from gateway.checkout.state import checkout_of
from gateway.invoicing import InvoiceRules, parse_invoice_request
from gateway.limits import MAX_KEYS, Gauge, TokenBuckets
from gateway.problems import Code, ProblemError, from_error, problem_body
from tests.support.books import test_catalogue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES = InvoiceRules(test_catalogue(), InvoiceSettings())


def test_bucket__burst_then_rate__refills_by_time_only() -> None:
    buckets = TokenBuckets(RateLimit(requests_per_second=2, burst=3))
    assert [buckets.take(b"a", 0.0) for _ in range(4)] == [0, 0, 0, 1]
    assert buckets.take(b"b", 0.0) == 0, "another key has its own"
    assert [buckets.take(b"a", 0.5), buckets.take(b"a", 0.5)] == [0, 1]
    assert [buckets.take(b"a", 100.0) for _ in range(4)] == [0, 0, 0, 1], "never above the burst"
    assert buckets.take(b"a", 99.0) == 1, "a clock that goes back gives nothing"


def test_bucket__endless_keys__memory_is_bounded() -> None:
    buckets = TokenBuckets(RateLimit())
    for number in range(MAX_KEYS + 500):
        buckets.take(number.to_bytes(4, "big"), 0.0)
    assert len(buckets._buckets) == MAX_KEYS


def test_gauge__full__refuses_until_one_leaves() -> None:
    gauge = Gauge(2)
    assert [gauge.enter(), gauge.enter(), gauge.enter()] == [True, True, False]
    gauge.leave()
    assert gauge.enter()


@pytest.mark.parametrize(
    ("raw", "depth"),
    [(b"1", 0), (b"{}", 1), (b'{"a": [1, {"b": 2}]}', 3), (b'"[[[["', 0), (rb'["\"[[["]', 1)],
)
def test_depth__brackets_in_strings__do_not_count(raw: bytes, depth: int) -> None:
    assert depth_of(raw) == depth


def test_parse_json__at_the_limit__is_taken() -> None:
    raw = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    parse_json(raw)
    with pytest.raises(ProblemError) as refused:
        parse_json(b"[" + raw + b"]")
    assert refused.value.code is Code.MALFORMED_JSON


def test_import_line__as_the_api_has_it__gives_a_spec() -> None:
    line = json.loads('{"amount": "7.5", "currency": "USDC", "expires_in": "1h", "reference": "r"}')
    spec = parse_invoice_request(line, RULES, NOW)
    assert (spec.amount, spec.currency, spec.reference) == (7_500000, "USDC", "r")
    assert {token.symbol for token in spec.options} == {"USDC"}
    assert spec.expires_at == NOW + timedelta(hours=1)
    assert spec.monitor_until == spec.expires_at + RULES.settings.monitor_for


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({}, "amount"),
        ({"amount": "1", "currency": "USD", "x": 1}, "x"),
        ({"amount": "1", "currency": "EUR"}, "currency"),
        (
            {"amount": "1", "currency": "USD", "options": [{"chain": "no", "token": "USDC"}]},
            "options.0",
        ),
        (
            {"amount": "1", "currency": "USDC", "options": [{"chain": "anvil", "token": "DAI"}]},
            "options.0",
        ),
    ],
)
def test_import_line__wrong__names_the_field(line: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_invoice_request(line, RULES, NOW)
    assert refused.value.where == field


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInputError("x", where="amount"), 422, "invalid_request"),
        (NotFoundError("x"), 404, "not_found"),
        (ConflictError("x"), 409, "conflict"),
        (BursarError("secret path /etc", where="/etc/secret"), 503, "unavailable"),
    ],
)
def test_problem__error_of_a_lower_floor__keeps_its_meaning(
    error: BursarError, status: int, code: str
) -> None:
    body = problem_body(from_error(error), "req_1")
    assert (body["status"], body["code"], body["request_id"]) == (status, code, "req_1")
    assert "/etc/secret" not in json.dumps(body), "where it was is for the operator"


def invoice(**changes: Any) -> dict[str, Any]:
    return {
        "id": "inv_1",
        "status": "new",
        "exceptions": [],
        "amount": "1.00",
        "currency": "USD",
        "address": "0x1",
        "options": [],
        "payments": [],
        "redirect_url": None,
        "expires_at": "2026-01-01T00:30:00.000000Z",
        **changes,
    }


def test_checkout__deadline_passed_before_anyone_noticed__offers_nothing() -> None:
    assert checkout_of(invoice(), NOW).payable
    late = checkout_of(invoice(), NOW + timedelta(minutes=31))
    assert (late.payable, late.headline) == (False, "Expired")


@pytest.mark.parametrize(
    "exception",
    ["overpaid", "late", "wrong_token", "wrong_chain", "native_coin", "reversed", "held"],
)
def test_checkout__each_exception__is_explained(exception: str) -> None:
    assert len(checkout_of(invoice(exceptions=[exception]), NOW).notes) == 1


def test_qr__asked_for_in_a_loop__made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = segno.make

    def counting(text: str, **options: Any) -> segno.QRCode:
        made.append(text)
        return make(text, **options)

    monkeypatch.setattr(segno, "make", counting)
    codes = [qr_svg(uri) for uri in ("ethereum:0x1", "ethereum:0x2", "ethereum:0x1")]
    assert codes[0] == codes[2] != codes[1]
    assert made == ["ethereum:0x1", "ethereum:0x2"]
