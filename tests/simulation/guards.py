"""A house in which nobody moves much by himself: second persons, and limits. Drawn per seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.faults import Faults

LIMITS = ("payout_limit", "transaction_limit", "merchant_daily_limit", "daily_limit")
LARGE_MICROS = 150 * 10**6
"""What a payout has to be above to wait for the second person."""


@dataclass(frozen=True)
class Guards:
    """What waits for the approver, and the limits in millionths by name (none: no limit)."""

    refunds: bool = False
    destinations: bool = False
    payouts: bool = False
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def approver(self) -> bool:
        """Whether there is a second person at all."""
        return self.refunds or self.destinations or self.payouts

    def settlement(self, symbols: Iterable[str]) -> dict[str, Any]:
        """Their part of ``[settlement]``, the same for every token."""
        return {name: _everywhere(symbols, micros) for name, micros in self.limits.items()}

    def security(self, symbols: Iterable[str]) -> dict[str, Any]:
        """Their part of ``[security]``."""
        return {
            "approve_refunds": self.refunds,
            "approve_destinations": self.destinations,
            "approve_payouts_above": _everywhere(symbols, LARGE_MICROS) if self.payouts else {},
        }


def drawn(faults: Faults) -> Guards:
    """Those of one seed."""
    limited = faults.strikes("limited", "seed")
    return Guards(
        refunds=faults.strikes("refunds_approved", "seed"),
        destinations=faults.strikes("destinations_approved", "seed"),
        payouts=faults.strikes("payouts_approved", "seed"),
        limits={
            name: faults.dice.between(name, 20, 400) * 10**6
            for name in LIMITS
            if limited and faults.dice.fixed(name) % 2
        },
    )


def _everywhere(symbols: Iterable[str], micros: int) -> dict[str, str]:
    return dict.fromkeys(symbols, f"{micros // 10**6}")
