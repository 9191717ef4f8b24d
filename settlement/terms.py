"""How much of a merchant's balance may not be paid out yet: delay and rolling reserve. Pure.

::

    confirmed_at         + delay                      + reserve_for
    |---------------------|-----------------------------|-------------->
      nothing is payable    all but ``reserve_bps``        all is payable

Both are counted per payment, on what it brought after its fee, rounded up in
favour of the reserve. A payment that is taken back takes its reserve with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """A merchant's, with the configured ones filled in."""

    delay: timedelta = timedelta(0)
    reserve_bps: int = 0
    reserve_for: timedelta = timedelta(0)

    @property
    def window(self) -> timedelta:
        """Payments confirmed longer ago than this hold nothing back."""
        return max(self.delay, self.reserve_for if self.reserve_bps else timedelta(0))


@dataclass(frozen=True, slots=True)
class Income:
    """What one confirmed payment brought its merchant, base units after the fee."""

    net: int
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class Withheld:
    """Base units that stay."""

    delayed: int = 0
    reserved: int = 0

    @property
    def total(self) -> int:
        """Of both."""
        return self.delayed + self.reserved


def withheld(terms: Terms, income: Iterable[Income], now: datetime) -> Withheld:
    """What delay and reserve keep back at ``now``."""
    delayed = reserved = 0
    for item in income:
        age = now - item.confirmed_at
        if age < terms.delay:
            delayed += item.net
        elif age < terms.reserve_for:
            reserved += -(-item.net * terms.reserve_bps // 10_000)
    return Withheld(delayed, reserved)
