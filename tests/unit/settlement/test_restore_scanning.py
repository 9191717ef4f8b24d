"""Receipts of what the chain's logs show: never left out in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chain.rpc.errors import NodeBehind
from config.units import Hash32
from settlement.restore.scanning import receipts_of

ONE, TWO = Hash32(b"\x01" * 32), Hash32(b"\x02" * 32)


@dataclass
class Provider:
    """Knows some receipts; ``other`` is asked second."""

    known: dict[Hash32, Any]
    other: Provider | None = None
    asked: list[Hash32] = field(default_factory=list)

    def second(self) -> Provider | None:
        return self.other

    async def receipts(self, hashes: Sequence[Hash32]) -> list[Any]:
        self.asked += hashes
        return [self.known.get(tx_hash) for tx_hash in hashes]


async def test_f20_receipt_left_out_by_one_provider__asked_of_another_in_order() -> None:
    honest = Provider({ONE: "one", TWO: "two"})
    client: Any = Provider({TWO: "two"}, honest)
    assert await receipts_of(client, [ONE, TWO]) == ["one", "two"]
    assert honest.asked == [ONE]


async def test_f20_receipt_that_nobody_shows__waited_for_not_left_out() -> None:
    client: Any = Provider({TWO: "two"}, Provider({}))
    with pytest.raises(NodeBehind, match="no receipt"):
        await receipts_of(client, [ONE, TWO])
