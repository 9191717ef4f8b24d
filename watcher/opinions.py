"""When one provider's word is enough, and when another's is waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chain.client import ChainClient
from config.clock import Clock
from ledger.store import Ledger
from watcher.effects import House, Pass, claims_to_ask
from watcher.proof import Proofs
from watcher.report import Report
from watcher.second_opinion import Claim, ask_both

PATIENCE_SECONDS: Final = 10.0
"""How long payments wait for a second provider that does not answer at all."""


class Opinions:
    """Second opinions for a chain's passes.

    A provider that answers and has no such receipt is waited for, however long
    that takes. One that is down altogether is waited for :data:`PATIENCE_SECONDS`:
    a second URL that is dead must not be worse than none.
    """

    def __init__(
        self, ledger: Ledger, client: ChainClient, house: House, clock: Clock, report: Report
    ) -> None:
        self._ledger = ledger
        self._proofs = Proofs(client, clock, report)
        self._house = house
        self._clock = clock
        self._report = report
        self._alone_since: float | None = None

    async def gather(self, client: ChainClient, work: Pass) -> Pass:
        """The pass, with the claims that two providers bore out, or a proof, or both."""
        by_proof = self._house.chain.receipts_proof
        if client.provider_count < 2 and not by_proof:
            return work
        async with self._ledger.reading() as tx:
            claims = await claims_to_ask(tx, self._house, work)
        if not claims:
            return replace(work, agreed=frozenset())
        if by_proof:
            proven = await self._proofs.of(claims)
            if client.provider_count < 2 or not proven:
                return replace(work, agreed=proven)
            claims = [claim for claim in claims if claim in proven]
        return replace(work, agreed=await self._of_two(client, claims))

    async def _of_two(self, client: ChainClient, claims: list[Claim]) -> frozenset[Claim]:
        """The claims that may count, as far as a second provider has a say."""
        opinion = await ask_both(client, claims)
        if opinion.asked:
            self._alone_since = None
            self._report.second_opinion(len(claims), len(claims) - len(opinion.agreed))
            return opinion.agreed
        now = self._clock.monotonic()
        if self._alone_since is None:
            self._alone_since = now
        if now - self._alone_since < PATIENCE_SECONDS:
            return frozenset()
        self._report.unverified(len(claims))
        return frozenset(claims)
