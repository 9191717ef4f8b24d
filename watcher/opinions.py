"""When one provider's word is enough, and when another's is waited for.

::

    borne out by two (or by proof)         confirmed
    one word against another               a third decides, where there is one; else it waits,
                                           after a minute with a hold that a person releases
    denied by two for ten minutes,
      or by the block's proven receipts    orphaned; back if it is ever seen again
    nobody else answers at all             after ten seconds the word of the one that does,
                                           counted
"""

from __future__ import annotations

from dataclasses import replace

from chain.client import ChainClient
from config.clock import Clock
from ledger.disputes import Key, name_waiting
from ledger.store import Ledger
from watcher.depth import Depths
from watcher.effects import House, Pass, claims_to_ask, final_mark
from watcher.patience import Patience
from watcher.proof import Proofs
from watcher.report import Report
from watcher.second_opinion import Claim, ask_around
from watcher.waits import Waits


class Opinions:
    """Second opinions for a chain's passes.

    A provider that answers and has no such receipt is waited for, ever more seldom, and named.
    One that is down altogether is waited for a while (:mod:`watcher.patience`): a second URL
    that is dead must not be worse than none.
    """

    def __init__(
        self, ledger: Ledger, client: ChainClient, house: House, clock: Clock, report: Report
    ) -> None:
        self._ledger = ledger
        self._proofs = Proofs(client, clock, report)
        self._house = house
        self._clock = clock
        self._report = report
        self._depths = Depths(ledger, house.chain, clock, report)
        self._patience = Patience(house.chain.poll_interval.total_seconds())
        self._waits: Waits[Claim] = Waits()
        self._named: frozenset[Claim] | None = None
        """Those with a hold; ``None``: what an earlier process left is not known yet."""

    def due(self) -> bool:
        """Whether what waits is to be asked about again."""
        return self._waits.due(self._clock.monotonic()) and self._depths.due()

    async def gather(self, client: ChainClient, work: Pass) -> Pass:
        """The pass, with the claims that two providers bore out, or a proof, or both.

        And with no more final, and nothing deeper, than two providers show.
        """
        by_proof = self._house.chain.receipts_proof
        if client.provider_count < 2 and not by_proof:
            if self._named is None:
                await self._name(self._clock.monotonic())  # holds of a time with more providers
            return work
        async with self._ledger.reading() as tx:
            claims = await claims_to_ask(tx, self._house, work)
            mark = await final_mark(tx, work)
        agreed, refuted = frozenset[Claim](), frozenset[Claim]()
        disproven = frozenset[Claim]()
        asked = self._waits.to_ask(claims, self._clock.monotonic())
        if asked:
            agreed, refuted, disproven = await self._ask(client, asked)
        work = await self._depths.of_two(client, work, mark, claims=bool(claims))
        now = self._clock.monotonic()
        self._waits.update(claims, asked, agreed, refuted, now)
        vouched = await self._name(now)
        self._waits.forget(vouched)
        self._report.waiting(len(self._waits), self._waits.oldest(now))
        gone = (disproven | self._waits.given_up(now)) - vouched
        if gone:
            self._report.refuted(len(gone))
        return replace(work, agreed=agreed | vouched, refuted=gone)

    async def _ask(
        self, client: ChainClient, claims: list[Claim]
    ) -> tuple[frozenset[Claim], frozenset[Claim], frozenset[Claim]]:
        """(borne out, denied by two, disproven)."""
        disproven = frozenset[Claim]()
        if self._house.chain.receipts_proof:
            proven = await self._proofs.of(claims)
            disproven = self._proofs.disproven(claims)
            if client.provider_count < 2 or not proven:
                return proven, frozenset(), disproven
            claims = [claim for claim in claims if claim in proven]
        agreed, refuted = await self._of_two(client, claims)
        return agreed, refuted, disproven

    async def _of_two(
        self, client: ChainClient, claims: list[Claim]
    ) -> tuple[frozenset[Claim], frozenset[Claim]]:
        """The claims that may count, as far as a second provider has a say, and the denied ones."""
        opinion = await ask_around(client, claims)
        if opinion.asked:
            self._patience.heard()
            self._report.second_opinion(len(claims), len(claims) - len(opinion.agreed))
            return opinion.agreed, opinion.refuted
        if not self._patience.over(self._clock.monotonic()):
            return frozenset(), frozenset()
        if opinion.agreed:
            self._report.unverified(len(opinion.agreed))
        return opinion.agreed, frozenset()

    async def _name(self, now: float) -> frozenset[Claim]:
        """Holds for what waits too long; returns what an operator has vouched for.

        A crash after it leaves holds that the next process closes or keeps.
        """
        wanted = self._waits.to_name(now)
        if not wanted and self._named == wanted:
            return frozenset()
        why = (
            "its block's receipts have not been proven, or do not hold it"
            if self._house.chain.receipts_proof
            else "another provider has no such receipt: release only what an explorer shows"
        )
        keys = {_key(claim): claim for claim in wanted}
        async with self._ledger.transaction() as tx:
            vouched = await name_waiting(tx, self._house.chain.name, dict.fromkeys(keys, why))
        self._named = wanted
        return frozenset(keys[key] for key in vouched)


def _key(claim: Claim) -> Key:
    return claim.tx_hash, claim.block_hash, claim.ordinal
