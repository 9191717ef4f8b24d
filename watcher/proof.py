"""Payments proven against their block's hash before they count (``receipts_proof``).

The block was linked by its hash; what the receipts root proves of it, no provider can
have invented. A block that cannot be proven now is asked about again later; its
payments wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from chain.client import ChainClient
from chain.model import Receipt
from chain.rpc.errors import RpcError
from config.clock import Clock
from config.log import get_logger
from config.units import Hash32
from watcher.report import Report
from watcher.second_opinion import Claim, holds

log = get_logger(__name__)

RETRY_SECONDS: Final = 10.0
"""Between two tries to prove the same block."""
_KEPT: Final = 100_000


class Proofs:
    """What has been proven of one chain, while the process lives."""

    def __init__(self, client: ChainClient, clock: Clock, report: Report) -> None:
        self._client = client
        self._clock = clock
        self._report = report
        self._proven: set[Claim] = set()
        self._disproven: set[Claim] = set()
        self._retry_at: dict[Hash32, float] = {}

    async def of(self, claims: Collection[Claim]) -> frozenset[Claim]:
        """Those of these claims that are proven; blocks not asked about yet are asked for."""
        by_block: dict[Hash32, list[Claim]] = defaultdict(list)
        for claim in claims:
            if claim not in self._proven:
                by_block[claim.block_hash].append(claim)
        for block_hash, wanted in by_block.items():
            await self._prove(block_hash, wanted)
        found = frozenset(claim for claim in claims if claim in self._proven)
        if len(self._proven) > _KEPT:
            self._proven.clear()
            self._disproven.clear()
        return found

    def disproven(self, claims: Collection[Claim]) -> frozenset[Claim]:
        """Those whose block is proven and does not hold them."""
        return frozenset(claim for claim in claims if claim in self._disproven)

    async def _prove(self, block_hash: Hash32, claims: Collection[Claim]) -> None:
        now = self._clock.monotonic()
        if now < self._retry_at.get(block_hash, now):
            return
        try:
            block = await self._client.proven_receipts(block_hash)
        except RpcError as error:
            self._later(block_hash, now)
            log.warning("receipts_not_proven", chain=self._client.name,
                        block="0x" + block_hash.hex(), error=str(error))  # fmt: skip
            self._report.checked("receipts_proof", good=False)
            return
        receipts: dict[Hash32, Receipt] = {found.tx_hash: found for found in block.receipts}
        borne_out = [claim for claim in claims if holds(receipts.get(claim.tx_hash), claim)]
        self._proven.update(borne_out)
        refuted = len(claims) - len(borne_out)
        if refuted:
            # The block is proven and does not hold them: whoever said so lied.
            self._disproven |= set(claims) - set(borne_out)
            self._later(block_hash, now)
            log.error("payments_refuted_by_proof", chain=self._client.name,
                      block="0x" + block_hash.hex(), count=refuted)  # fmt: skip
        self._report.checked("receipts_proof", good=not refuted)

    def _later(self, block_hash: Hash32, now: float) -> None:
        self._retry_at = {h: at for h, at in self._retry_at.items() if at > now}
        self._retry_at[block_hash] = now + RETRY_SECONDS
