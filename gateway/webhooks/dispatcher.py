"""The worker that delivers: claims what is due, sends it, writes down what came of it.

What it guarantees: at least once, in order per object and endpoint, by any
number of workers; an endpoint that is slow or dead holds up nobody else, since
each has a few slots of its own. Outcomes are committed together, however many
attempts end while the last commit is written. What it does not: exactly once. A crash between
an answer and its commit sends again; the receiver tells by ``webhook-id``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from config.clock import Clock, Entropy
from config.errors import ConfigError
from config.log import get_logger
from gateway.observer import HttpObserver
from gateway.webhooks.backoff import next_attempt
from gateway.webhooks.sender import Message, Reply, Sender, message_body
from gateway.webhooks.vault import Vault
from ledger.deliveries import (
    Claimed,
    Result,
    claim_deliveries,
    due_endpoints,
    lock_endpoints,
    record_results,
)
from ledger.store import Ledger
from ledger.webhooks import disable_endpoint

log = get_logger(__name__)

PER_ENDPOINT: Final = 8
AT_ONCE: Final = 256
TOGETHER: Final = 16
"""Endpoints whose deliveries one transaction claims: nobody waits long for the database."""
LEASE: Final = timedelta(seconds=30)
"""Longer than an attempt: a claim that runs out belongs to a worker that died."""
IDLE_SECONDS: Final = 0.25


class WebhookDispatcher:
    """Run one per process; :meth:`run` until stopped, or :meth:`tick` by hand."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        sender: Sender,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        observer: HttpObserver,
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._observer = observer
        self._busy: Counter[str] = Counter()
        self._failing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[_Ended] = []
        self._recording = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set; what is under way then is finished (10 s at most).

        :raises DatabaseError: to be started again by whoever supervises this.
        """
        try:
            while not stop.is_set():
                started = await self.tick()
                self._reap()
                if not started:
                    await self._clock.sleep(IDLE_SECONDS)
            await self.drain()
        finally:
            # Cancelled, or the database went away: what is cut off here is sent again later.
            for task in self._tasks:
                task.cancel()

    async def tick(self) -> int:
        """Claim what is due and begin to send it; returns how many attempts were begun."""
        free = AT_ONCE - len(self._tasks)
        if free <= 0:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            return 0
        async with self._ledger.reading() as tx:
            due = await due_endpoints(tx)
        # The least busy first, so that the slots left over never all go to the same few.
        ready = sorted((e for e in due if self._slots(e) > 0), key=lambda e: (self._busy[e], e))
        started = 0
        for place in range(0, len(ready), TOGETHER):
            claimed = await self._claim(ready[place : place + TOGETHER], free - started)
            for delivery in claimed:
                self._begin(delivery)
            started += len(claimed)
        return started

    async def _claim(self, endpoint_ids: Sequence[str], free: int) -> list[Claimed]:
        claimed: list[Claimed] = []
        async with self._ledger.transaction() as tx:
            for endpoint_id in sorted(endpoint_ids):
                limit = min(self._slots(endpoint_id), free - len(claimed))
                if limit <= 0:
                    break
                claimed += await claim_deliveries(tx, endpoint_id, limit=limit, lease=LEASE)
        return claimed

    def _slots(self, endpoint_id: str) -> int:
        """How many attempts more an endpoint may have at once.

        One that failed last time is tried with one at a time: many dead endpoints that
        answer only after ten seconds would otherwise take every slot.
        """
        own = 1 if endpoint_id in self._failing else PER_ENDPOINT
        return own - self._busy[endpoint_id]

    async def drain(self) -> None:
        """Wait for every attempt that was begun."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            self._reap()

    def _begin(self, delivery: Claimed) -> None:
        self._busy[delivery.endpoint_id] += 1
        self._tasks.add(asyncio.create_task(self._attempt(delivery)))

    def _reap(self) -> None:
        """Forget finished attempts; what one raised (a database that went away) is raised here."""
        done = {task for task in self._tasks if task.done()}
        self._tasks -= done
        for task in done:
            if not task.cancelled():
                task.result()

    async def _attempt(self, delivery: Claimed) -> None:
        try:
            reply = await self._send(delivery)
            if reply.outcome == "failed":
                self._failing.add(delivery.endpoint_id)
            else:
                self._failing.discard(delivery.endpoint_id)
            await self._record(delivery, reply)
        finally:
            self._busy[delivery.endpoint_id] -= 1
            if not self._busy[delivery.endpoint_id]:
                del self._busy[delivery.endpoint_id]

    async def _send(self, delivery: Claimed) -> Reply:
        try:
            # The new one first.
            sealed = (delivery.secret_encrypted, *delivery.replaced_secrets)
            secrets = tuple(self._vault.open(one, delivery.endpoint_id) for one in sealed)
        except ConfigError as error:
            log.warning("webhook_secret_unreadable", endpoint=delivery.endpoint_id, why=error.what)
            return Reply("failed", error=error.what)
        message = Message(
            url=delivery.url,
            event_id=str(delivery.event["id"]),
            body=message_body(delivery.event),
            secrets=secrets,
        )
        return await self._sender.send(message, self._clock.now())

    async def _record(self, delivery: Claimed, reply: Reply) -> None:
        """Returns when the outcome is on disk: with those of all attempts that ended meanwhile."""
        ended = _Ended(delivery, reply)
        self._ended.append(ended)
        async with self._recording:
            await self._clock.sleep(0)  # those that ended in the same moment come along
            if ended in self._ended:  # else whoever had the lock before wrote it too
                for outcome in await self._write():
                    self._observer.on_delivery(outcome)

    async def _write(self) -> list[str]:
        """All that ended, in one transaction; the outcomes of those that were still claimed."""
        outcomes = []
        async with self._ledger.transaction() as tx:
            group = list(self._ended)
            await lock_endpoints(tx, [e.delivery.endpoint_id for e in group])
            gone = sorted({e.delivery.endpoint_id for e in group if e.reply.outcome == "gone"})
            results = {
                (e.delivery.id, e.delivery.attempt): _result_of(e, tx.now, self._jitter())
                for e in group
            }
            held = await record_results(tx, results)
            for e in group:
                if e.delivery.id in held:
                    key = (e.delivery.id, e.delivery.attempt)
                    outcomes.append(_outcome(e.reply, results[key]))
            for endpoint_id in gone:
                if any(e.told_gone_by(endpoint_id) and e.delivery.id in held for e in group):
                    await disable_endpoint(tx, endpoint_id, "answered 410 Gone")
        # Only now: what was not committed is tried again by the next that ends. A crash here
        # leaves claims that run out: the whole group is sent once more.
        del self._ended[: len(group)]
        return outcomes

    def _jitter(self) -> float:
        return self._entropy.token_bytes(1)[0] / 255


@dataclass(frozen=True, slots=True, eq=False)
class _Ended:
    """An attempt and its answer, not on disk yet."""

    delivery: Claimed
    reply: Reply

    def told_gone_by(self, endpoint_id: str) -> bool:
        return self.reply.outcome == "gone" and self.delivery.endpoint_id == endpoint_id


def _result_of(ended: _Ended, now: datetime, jitter: float) -> Result:
    delivery, reply = ended.delivery, ended.reply
    retry_at = None
    if reply.outcome == "failed":
        retry_at = next_attempt(delivery.attempt, delivery.created_at, now, jitter)
    return Result(
        delivered=reply.outcome == "ok",
        response_status=reply.status,
        error=reply.error,
        retry_at=retry_at,
    )


def _outcome(reply: Reply, result: Result) -> str:
    if reply.outcome == "ok":
        return "delivered"
    if reply.outcome == "gone":
        return "disabled"
    return "dead" if result.retry_at is None else "retry"
