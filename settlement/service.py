"""One chain's settlement: ticks under a lease, beside any number of others that wait.

What it guarantees: whatever the database says was promised is carried out
exactly once, by whichever process leads, through any number of restarts. What
it does not: that it leads. A tick without the lease does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from chain.client import ChainClient
from chain.deployment import HelperContracts
from chain.rpc.errors import RpcError
from config.chains import ChainSettings
from config.clock import Clock
from config.errors import DatabaseError, LeaseLostError, WalletError
from config.models import SettlementSettings
from ledger.cursors import get_cursor
from ledger.journal import Journal
from ledger.leases import DEFAULT_TTL, Lease, Standstill, acquire, release, renew
from ledger.pauses import What
from ledger.store import Ledger
from ledger.waiting import Waiting, what_waits
from settlement.apart import Apart
from settlement.breaker import Breaker
from settlement.causes import Traced
from settlement.clone_plan import CLONE_GAS
from settlement.context import Context, Policy, Wallets
from settlement.create2 import FactoryCheck, seal_create2_sweeps
from settlement.fallback import TOP_UP_GAS, deposit_lane_index, seal_fallback_sweeps
from settlement.lanes.finality import Finality
from settlement.lanes.lane import tick_lane
from settlement.leading import lease_name
from settlement.measures import measure
from settlement.native import book_native
from settlement.observer import SettlementObserver
from settlement.outflow import OutflowGuard
from settlement.outlook import DepositRounds
from settlement.payouts import (
    TOKEN_PAUSED,
    UnknownExecutionError,
    release_paused,
    seal_payouts,
    take_back,
)
from settlement.presigned import PresignedCheck
from settlement.restore.comparing import Comparison
from settlement.sink import SinkCheck
from settlement.support7702 import supports_7702
from settlement.sweep_plan import DELEGATION_GAS
from settlement.sweep_policy import SweepGas
from settlement.sweeps import seal_sweeps
from settlement.worth import Worth

__all__ = ["ChainSettlement", "SettlementStatus", "lease_name"]

RENEW_EVERY = timedelta(seconds=3)
MEASURE_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class SettlementStatus:
    """For readiness: ``leading`` is ``False`` for a healthy standby too."""

    chain: str
    leading: bool
    last_tick_at: datetime | None
    last_error: str | None


class ChainSettlement:
    """Sweeps and payouts of one chain. ``owner_id`` names one process start."""

    def __init__(
        self,
        chain: ChainSettings,
        *,
        client: ChainClient,
        ledger: Ledger,
        wallets: Wallets,
        contracts: HelperContracts,
        settings: SettlementSettings,
        clock: Clock,
        observer: SettlementObserver,
        owner_id: str,
        policy: Policy | None = None,
        journal: Journal | None = None,
    ) -> None:
        heeding = client.heeding(contracts.check_log)
        self.context = Context(
            chain, heeding, ledger, wallets, contracts, settings, clock, observer,
            policy or Policy(), journal,
        )  # fmt: skip
        self._owner = owner_id
        self._lease: Lease | None = None
        self._renew_at = 0.0
        self._led = False
        self._standstill = Standstill()
        self._draining = False
        self._last_tick_at: datetime | None = None
        self._last_error: str | None = None
        self._supports_7702: bool | None = None
        self._deployed = False
        self._told_missing = False
        self._reconcile_at: datetime | None = None
        self._comparison: Comparison | None = None
        self._breaker = Breaker()
        self._traced = Traced(clock)
        self._outflow = OutflowGuard()
        self._worth = Worth(chain.name)
        self._presigned = PresignedCheck()
        self._factory = FactoryCheck()
        self._sink = SinkCheck()
        self._rounds = DepositRounds()

    def status(self) -> SettlementStatus:
        """What readiness and metrics ask."""
        name = self.context.name
        return SettlementStatus(name, self._lease is not None, self._last_tick_at, self._last_error)

    async def tick(self) -> bool:
        """One bounded round; ``False`` when another process leads and nothing was done.

        In order: the lease, the comparison, sweeps, payouts, measures; what stops one of them is
        raised once the others are done. A pause or a halted chain leaves only the watching of
        what is in flight.

        :raises LeaseLostError: the lease went while working; the next tick takes it again.
        :raises RpcError: the chain does not answer.
        :raises WalletError: a signer refuses.
        :raises DatabaseError: the database does not answer.
        """
        ctx = self.context
        lease = await self._lead()
        if lease is None:
            self._stand_by()
            return False
        self._led = True
        finality, waiting = await self._look()
        apart = Apart(ctx)
        with apart.part():
            await self._compare(lease, finality)
        await self._sweep_lanes(lease, finality, waiting, apart)
        with apart.part():
            await self._payout_lane(lease, finality, waiting)
        with apart.part():
            await self._measure(lease, finality)
        apart.end()
        if self._comparison is not None:
            self._comparison.tick_ended()
        self._last_tick_at = ctx.clock.now()
        return True

    def _stand_by(self) -> None:
        """Once it leads no more, this process has no figures of its own."""
        if self._led:
            self._led, self._reconcile_at = False, None
            self.context.observer.standing_by(self.context.name)

    async def _look(self) -> tuple[Finality, Waiting]:
        """How far the watcher is, and what there is to do: one snapshot, most often nothing."""
        ctx = self.context
        tokens = [token.symbol for token in ctx.ledger.catalogue.payable_tokens(ctx.name)]
        async with ctx.ledger.reading() as tx:
            finality = Finality(await get_cursor(tx, ctx.name))
            return finality, await what_waits(tx, ctx.name, tokens, TOKEN_PAUSED)

    async def _lead(self) -> Lease | None:
        """The lease; written only when half of it is over. Each effect checks it in its commit."""
        ctx, now = self.context, self.context.clock.monotonic()
        if self._lease is None or now >= self._renew_at:
            async with ctx.ledger.transaction() as tx:
                self._lease = await acquire(
                    tx, lease_name(ctx.name), self._owner, DEFAULT_TTL,
                    waiting=(self._standstill, now),
                )  # fmt: skip
            self._renew_at = now + DEFAULT_TTL.total_seconds() / 2
        return self._lease

    async def _compare(self, lease: Lease, finality: Finality) -> None:
        """A new leader sends nothing before it knows that nothing left without these books."""
        if self._comparison is None:
            self._comparison = Comparison(self.context, lease)
        elif not self._comparison.belongs_to(lease):
            self._comparison = self._comparison.taken_up(lease)
        deployed = await self._is_deployed()
        if not await self._comparison.step(lease, finality, deployed=deployed):
            self.context.observer.note(
                "not_compared_yet", chain=self.context.name, waits_for=self._comparison.waits_for
            )

    def _sweep_gas(self) -> SweepGas:
        """Of one address, the way in which this chain is swept."""
        if self.context.policy.create2:
            return CLONE_GAS
        delegating = self._supports_7702 is not False or self.context.policy.presigned
        return DELEGATION_GAS if delegating else TOP_UP_GAS

    async def _measure(self, lease: Lease, finality: Finality) -> None:
        """Now and then: does the chain hold what the books say, and how far does the gas go."""
        now = self.context.clock.now()
        if self._reconcile_at is None or now >= self._reconcile_at:
            self._reconcile_at = now + MEASURE_EVERY
            found = await measure(self.context, self._sweep_gas(), self._traced)
            compared = self._comparison is not None and self._comparison.done
            if found is not None and compared:
                await self._breaker.look(self.context, lease, finality, found)
            if compared:
                await book_native(self.context, lease)
            if await self._may_send(finality):  # what is announced is told of in good time
                await self._sink.look(self.context, lease, finality.final_block)

    async def _may_send(self, finality: Finality) -> bool:
        """Whether anything may leave, pauses aside."""
        if self._draining or finality.cursor is None or finality.cursor.halted_reason is not None:
            return False
        if self._comparison is None or not self._comparison.done:
            return False
        return await self._is_deployed()

    async def _is_deployed(self) -> bool:
        """Whether the helper contracts are there: a call to nothing succeeds, and pays nobody."""
        if not self._deployed:
            parts = self.context.contracts
            codes = await self.context.client.codes(
                [parts.treasury, parts.collector, parts.forwarder]
            )
            self._deployed = all(codes)
            if not self._deployed and not self._told_missing:
                self.context.observer.note(
                    "helper_contracts_missing",
                    chain=self.context.name,
                    remedy="bursar contracts deploy",
                )
            self._told_missing = not self._deployed
        return self._deployed

    async def _sweep_lanes(
        self, lease: Lease, finality: Finality, waiting: Waiting, apart: Apart
    ) -> None:
        ctx = self.context
        what: What = "sweeps"
        may_send, may_sweep, seal = False, False, None
        with apart.part():
            may_send = await self._may_send(finality)
            seal = await self._way_to_sweep(lease, finality, waiting)
            may_sweep = may_send
            if may_send and (seal is not None or what in waiting.lanes):
                may_sweep = await self._sink.look(ctx, lease, finality.final_block)
        with apart.part():
            signer = ctx.wallets.sponsor("sweeps")
            await tick_lane(ctx, lease, what, what, signer, finality, may_send=may_sweep, seal=seal)
        for name in sorted(waiting.lanes):
            index = deposit_lane_index(name)
            if self._draining:
                return  # each may wait long for a provider that does not answer
            if index is not None:
                with apart.part():
                    sender = ctx.wallets.deposit_signer(index)
                    await tick_lane(ctx, lease, name, what, sender, finality, may_send=may_send)

    async def _way_to_sweep(
        self, lease: Lease, finality: Finality, waiting: Waiting
    ) -> Callable[[], Awaitable[int]] | None:
        """How deposit addresses are collected from here; ``None``: they cannot be yet, or there
        is nothing at any."""
        ctx, rounds = self.context, self._rounds
        tokens = rounds.worth_a_look(ctx.ledger.catalogue.payable_tokens(ctx.name), waiting.unswept)
        if ctx.policy.create2:
            found = await self._factory.look(ctx, lease)
            if not (found and tokens):
                return None
            return lambda: seal_create2_sweeps(ctx, lease, finality, tokens, rounds)
        if self._supports_7702 is None:
            self._supports_7702 = await supports_7702(ctx)
        if ctx.policy.presigned:
            await self._presigned.look(ctx, lease, supports_7702=self._supports_7702)
        if not tokens:
            return None
        if self._supports_7702 or ctx.policy.presigned:
            return lambda: seal_sweeps(ctx, lease, finality, tokens, rounds)
        return lambda: seal_fallback_sweeps(ctx, lease, finality, tokens, rounds)

    async def _payout_lane(self, lease: Lease, finality: Finality, waiting: Waiting) -> None:
        ctx = self.context
        what: What = "payouts"
        may_send = await self._may_send(finality)

        async def seal() -> int:
            if waiting.owing:
                await take_back(ctx, lease)
            if waiting.on_hold:
                await release_paused(ctx, lease, finality)
            try:
                return await seal_payouts(ctx, lease, finality, self._outflow, self._worth)
            except UnknownExecutionError as error:
                assert self._comparison is not None
                self._comparison.reopen(str(error))
                return 0

        if not waiting.queued:
            await self._worth.tidy(ctx, lease, ())
        signer = ctx.wallets.sponsor("payouts")
        await tick_lane(
            ctx, lease, what, what, signer, finality, may_send=may_send,
            seal=seal if waiting.payouts else None,
        )  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until told to stop; trouble with chain, database or signer is told and retried.

        Anything else is a bug and goes to the supervisor. On stop: no new work, the tick
        that runs ends with everything stored, the lease is given back.
        """
        keeper = asyncio.create_task(self._keep_lease(stop), name=f"lease {self.context.name}")
        stopping = asyncio.create_task(self._drain_on(stop))
        try:
            while not stop.is_set():
                await self._guarded_tick()
                await self._wait(stop, self.context.chain.poll_interval)
        finally:
            for task in (keeper, stopping):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self._give_back()

    async def _guarded_tick(self) -> None:
        try:
            await self.tick()
        except (RpcError, DatabaseError, WalletError, LeaseLostError) as error:
            self._last_error = str(error)
            if isinstance(error, LeaseLostError):
                self._lease = None
            self.context.observer.note(
                "settlement_tick_failed", chain=self.context.name, error=str(error)
            )
        else:
            self._last_error = None

    async def _drain_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._draining = True

    async def _keep_lease(self, stop: asyncio.Event) -> None:
        """A tick may take longer than a lease where providers are slow."""
        while not stop.is_set():
            await self._wait(stop, RENEW_EVERY)
            lease = self._lease
            if lease is None:
                continue
            now = self.context.clock.monotonic()
            with suppress(DatabaseError):
                try:
                    async with self.context.ledger.transaction() as tx:
                        await renew(tx, lease)
                except LeaseLostError:
                    self._renew_at = now  # the next tick asks who leads
                else:
                    self._renew_at = now + DEFAULT_TTL.total_seconds() / 2

    async def _give_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(DatabaseError):
                async with self.context.ledger.transaction() as tx:
                    await release(tx, lease)

    async def _wait(self, stop: asyncio.Event, pause: timedelta) -> None:
        """Until the pause is over or the daemon stops, whichever is first."""
        stopped = asyncio.create_task(stop.wait())
        slept = asyncio.create_task(self.context.clock.sleep(pause.total_seconds()))
        try:
            await asyncio.wait({stopped, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            slept.cancel()
