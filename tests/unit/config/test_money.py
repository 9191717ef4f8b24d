"""Decimal text to base units and back, without a unit lost or a float met."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.money import (
    FIAT_DECIMALS,
    format_amount,
    least_amount,
    parse_amount,
    parse_units,
)
from config.units import MAX_AMOUNT

GRAMMAR = r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,6})?"
DECIMALS = st.integers(min_value=0, max_value=36)


@given(st.from_regex(re.compile(GRAMMAR, re.ASCII), fullmatch=True), DECIMALS)
@example("0.000001", 6)
@example("999999999999999999.999999", 18)
def test_parse_amount__agrees_with_decimal__or_is_too_fine(text: str, decimals: int) -> None:
    with localcontext() as context:
        context.prec = 100
        exact = Decimal(text) * 10**decimals
        if exact == exact.to_integral_value():
            assert parse_amount(text, decimals) == int(exact)
        else:
            with pytest.raises(ValueError, match="finer than"):
                parse_amount(text, decimals)


@given(st.integers(0, 10**18 - 1), st.integers(0, 6), st.data())
def test_amounts__six_decimals_or_fewer__come_back(
    whole: int, decimals: int, data: st.DataObject
) -> None:
    amount = whole * 10**decimals + data.draw(st.integers(0, 10**decimals - 1))
    assert parse_amount(format_amount(amount, decimals), decimals) == amount


@given(st.integers(0, MAX_AMOUNT), DECIMALS)
@example(277_353692850000000000, 18)
def test_parse_units__whatever_was_shown__comes_back(amount: int, decimals: int) -> None:
    assert parse_units(format_amount(amount, decimals), decimals) == amount


@pytest.mark.parametrize("text", ["", "-1", "1e5", "01", "1.", ".5", "1" * 79, "1." + "1" * 78])
def test_parse_units__outside_the_grammar__is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_units(text, 18)


@given(st.integers(0, MAX_AMOUNT), DECIMALS)
@example(MAX_AMOUNT, 18)
def test_format_amount__any_amount__is_exact_and_canonical(amount: int, decimals: int) -> None:
    text = format_amount(amount, decimals)
    assert re.fullmatch(r"(0|[1-9][0-9]*)\.([0-9]{2}|[0-9]{2,}[1-9])", text, re.ASCII)
    with localcontext() as context:
        context.prec = 100
        assert Decimal(text) * 10**decimals == amount
    if amount:
        assert format_amount(-amount, decimals) == f"-{text}"


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (7_500_000, 6, "7.50"),
        (1, 6, "0.000001"),
        (0, 18, "0.00"),
        (5, 0, "5.00"),
        (15, 1, "1.50"),
        (123_456, 3, "123.456"),
        (10**18, 18, "1.00"),
    ],
)
def test_format_amount__examples__as_the_api_shows_them(
    amount: int, decimals: int, text: str
) -> None:
    assert format_amount(amount, decimals) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "-1",
        "01",
        "00",
        ".5",
        "1.",
        "1.2.3",
        "1,5",
        "1e3",
        "1_000",
        "0x10",
        "NaN",
        "Infinity",
        "1.0000001",
        "1" * 19,
        "9" * 80,
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1.\N{FULLWIDTH DIGIT FIVE}",
        "1\0",
    ],
)
def test_parse_amount__outside_the_grammar__is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_amount(text, FIAT_DECIMALS)


def test_parse_amount__long_nonsense__is_quoted_shortened() -> None:
    with pytest.raises(ValueError, match="is not an amount") as caught:
        parse_amount("9" * 100_000, 6)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0.001", 2, 1),
        ("0.011", 2, 2),
        ("1", 2, 100),
        ("0.5", 0, 1),
        ("1.25", 6, 1_250_000),
        ("0.000001", 18, 10**12),
        ("0", 2, 0),
    ],
)
def test_least_amount__finer_than_the_token__the_next_unit(
    text: str, decimals: int, units: int
) -> None:
    assert least_amount(text, decimals) == units
