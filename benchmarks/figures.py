"""What a measurement is, and whether it reaches its target. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure's value, or on its ratio to the baseline."""

    bound: float
    of: Literal["value", "ratio"]
    at_least: bool
    """Otherwise: at most."""

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        unit = "× baseline" if self.of == "ratio" else ""
        return f"{sign} {self.bound:,.10g} {unit}".rstrip()

    def met_by(self, value: float | None, ratio: float | None) -> bool:
        """A figure that could not be measured has not reached its target."""
        number = value if self.of == "value" else ratio
        if number is None or math.isnan(number):
            return False
        return number >= self.bound if self.at_least else number <= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    :param value: ``None``: what it measures is not built yet.
    :param baseline: what it is compared with, ``""`` for nothing.
    :param baseline_value: in ``unit``.
    :param ratio: value / baseline.
    :param details: whatever else a reader may ask for; JSON values.
    """

    name: str
    value: float | None
    unit: str
    baseline: str = ""
    baseline_value: float | None = None
    ratio: float | None = None
    target: Target | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """``None``: a figure without a target."""
        return None if self.target is None else self.target.met_by(self.value, self.ratio)

    def as_json(self) -> dict[str, Any]:
        """As ``results.json`` keeps it."""
        return {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "baseline": self.baseline,
            "baseline_value": rounded(self.baseline_value),
            "ratio": rounded(self.ratio),
            "target": "" if self.target is None else str(self.target),
            "met": self.met,
            "details": {
                key: rounded(value) if isinstance(value, float) else value
                for key, value in self.details.items()
            },
        }


def at_least(bound: float, of: Literal["value", "ratio"] = "value") -> Target:
    """More is better."""
    return Target(bound, of, at_least=True)


def at_most(bound: float, of: Literal["value", "ratio"] = "value") -> Target:
    """Less is better."""
    return Target(bound, of, at_least=False)


def rounded(number: float | None) -> float | None:
    """Four significant digits: more would be noise."""
    if number is None or math.isnan(number) or number == 0:
        return number
    return round(number, 3 - math.floor(math.log10(abs(number))))


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least ``share`` of them do not pass."""
    assert values
    assert 0 < share <= 1
    return sorted(values)[math.ceil(share * len(values)) - 1]
