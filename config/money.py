"""Decimal text to integers and back, exactly.

The grammar is the API's: ASCII digits, up to 18 before and 6 after the point,
no sign, no exponent. Fiat sums are held in *micros* (10**-6 of a unit). What names
an amount that is there already has as many digits as that amount.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from config.units import Amount

FIAT_DECIMALS: Final = 6
_GRAMMAR: Final = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,6}))?", re.ASCII)

_EXACT: Final = re.compile(r"(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,77}))?", re.ASCII)
"""What :func:`format_amount` writes of 256 bits."""


def parse_amount(text: str, decimals: int) -> Amount:
    """Whole units as text to base units.

    :param text: e.g. ``"12.5"``.
    :param decimals: of the token, or :data:`FIAT_DECIMALS`.
    :raises ValueError: outside the grammar, or finer than ``decimals``.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(
            f'{text[:40]!r} is not an amount: digits with up to 6 decimals, like "12.50"'
        )
    return _to_units(match, decimals)


def parse_units(text: str, decimals: int) -> Amount:
    """Whole units as :func:`format_amount` writes them to base units, however fine.

    :raises ValueError: not such a text, or finer than ``decimals``.
    """
    match = _EXACT.fullmatch(text)
    if match is None:
        raise ValueError(f'{text[:40]!r} is not an amount: digits, like "12.50"')
    return _to_units(match, decimals)


def _to_units(match: re.Match[str], decimals: int) -> Amount:
    whole, fraction = match.group(1), match.group(2) or ""
    if len(fraction) > decimals:
        if fraction[decimals:].strip("0"):
            raise ValueError(f"{match.group(0)!r} is finer than {decimals} decimals")
        fraction = fraction[:decimals]
    return Amount(int(whole) * 10**decimals + int((fraction or "0").ljust(decimals, "0") or "0"))


@lru_cache(maxsize=256)
def least_amount(text: str, decimals: int) -> Amount:
    """The fewest base units that are not below ``text``, which may be finer than the token.

    For minimums: they are given once for tokens of any number of decimals.

    :raises ValueError: outside the grammar.
    """
    finer = max(decimals, FIAT_DECIMALS)
    return Amount(-(-parse_amount(text, finer) // 10 ** (finer - decimals)))


@lru_cache(maxsize=4096)
def format_amount(amount: int, decimals: int) -> str:
    """Base units to canonical text: no trailing zeros, but at least two decimals.

    Amounts below a cent keep every digit: ``1`` at 6 decimals is ``"0.000001"``.
    """
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(amount, 10**decimals)
    if decimals == 0:
        return f"{sign}{whole}.00"
    digits = str(fraction).rjust(decimals, "0").rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{digits}"
