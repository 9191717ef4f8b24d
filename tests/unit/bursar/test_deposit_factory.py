"""What the doctor says of deposit addresses without keys."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bursar.actions.deposit_factory import factory_finding
from config.units import Address
from ledger.deposit_factories import FoundFactory

OURS, OTHER, FORWARDER = (Address(bytes([n]) * 20) for n in (0xFA, 0xFB, 0xF0))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "good", "part"),
    [
        (None, True, "once settlement has run"),
        (FoundFactory(1, OURS, FORWARDER, NOW), True, "the chain is offered"),
        (FoundFactory(1, OURS, FORWARDER, None), False, "not offered"),
        (FoundFactory(1, OTHER, FORWARDER, NOW), False, "must stay what they were"),
        (FoundFactory(1, OTHER, FORWARDER, None), False, "must stay what they were"),
    ],
)
def test_factory_finding__what_settlement_saw(
    found: FoundFactory | None, good: bool, part: str
) -> None:
    finding = factory_finding("base", found, OURS)
    assert finding.good is good
    assert part in finding.text
