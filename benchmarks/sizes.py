"""How much of everything a run takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """``full`` is what the targets are about; ``quick`` shows that everything runs."""

    name: str
    addresses: int
    """Watched, in the large of the two sets; as many open invoices are in its books."""
    few_addresses: int
    segment_blocks: int
    """Blocks that a round catches up, and once more with latency."""
    rounds: int
    web3_blocks: int
    """A round; web3 takes about 14 ms a block of 200 logs."""
    deposits: int
    """Recorded per database."""
    imported: int
    """Lines of ``invoices import``; a second run takes a fifth, to see how memory grows."""
    detection_blocks: int
    starts: int
    derivations: int
    payouts: int
    """Merchants that fall due at once; a first run takes a tenth."""


FULL: Final = Sizes(
    name="full",
    addresses=1_000_000,
    few_addresses=1_000,
    segment_blocks=1_000,
    rounds=4,
    web3_blocks=40,
    deposits=10_000,
    imported=50_000,
    detection_blocks=100,
    starts=3,
    derivations=50_000,
    payouts=10_000,
)
QUICK: Final = Sizes(
    name="quick",
    addresses=10_000,
    few_addresses=1_000,
    segment_blocks=200,
    rounds=2,
    web3_blocks=20,
    deposits=1_000,
    imported=2_000,
    detection_blocks=8,
    starts=1,
    derivations=5_000,
    payouts=1_000,
)
