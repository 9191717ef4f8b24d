"""Every benchmark by its name, in the order of a full run."""

from __future__ import annotations

from typing import Final

from benchmarks import (
    catchup,
    detection,
    filters,
    gas,
    importing,
    memory,
    paying,
    pure,
    recording,
    start,
    sweeping,
    traffic,
)
from benchmarks.context import Measure

MEASURES: Final[dict[str, Measure]] = {
    "pure": pure.measure,
    "filters": filters.measure,
    "catch-up": catchup.measure,
    "recording": recording.measure,
    "requests": traffic.measure,
    "memory": memory.measure,
    "start": start.measure,
    "detection": detection.measure,
    "import": importing.measure,
    "paying": paying.measure,
    "sweeping": sweeping.measure,
    "gas": gas.measure,
}
