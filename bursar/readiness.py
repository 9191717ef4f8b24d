"""Whether crediting and paying go on, with the reason for each thing that does not.

What counts against a process is what it does itself: a gateway is ready without
any chain, a standby is ready while another leads. On a test chain a head that
stands still is no fault; on a real one it is. A chain that is being caught up
is ready: it gets there by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from config.chains import ChainSettings
from config.errors import BursarError
from gateway.deps import Check

SILENT_POLLS: Final = 20
"""A watcher that reached no head for this many polls, and at least a minute, is not working."""
SILENT_AT_LEAST: Final = timedelta(seconds=60)
STALE_BLOCKS: Final = 30
"""A real chain whose head is older than this many block times, at least 90 s, is stuck for us."""
STALE_AT_LEAST: Final = timedelta(seconds=90)
PATIENCE: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Worker:
    """A chain's task: what its last round failed with, and when one last did not."""

    name: str
    leading: bool
    problem: str | None
    succeeded_at: datetime | None


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What is known of a chain now.

    :param gate: why its tasks are held back; ``None``: they run.
    :param halted: the finality violation, if there was one.
    :param halted_lanes: reasons of lanes that wait for an operator.
    :param asked_at: when a provider last answered with a head.
    :param head_time: timestamp of that head.
    :param providers: how many are configured.
    """

    gate: str | None
    halted: str | None
    halted_lanes: Sequence[str]
    asked_at: datetime | None
    head_time: datetime | None
    started_at: datetime
    providers: int
    workers: Sequence[Worker] = ()


def judge_chain(chain: ChainSettings, facts: ChainFacts, now: datetime) -> Check:
    """One line about one chain; pure."""
    fault = _stopped(chain, facts) or _stuck(facts, now) or _silent(chain, facts, now)
    return Check(f"chain {chain.name}", fault is None, fault or _note(chain, facts))


def _stopped(chain: ChainSettings, facts: ChainFacts) -> str | None:
    """What only a person, or a check that has to pass first, sets going again."""
    if facts.gate is not None:
        return facts.gate
    if facts.halted is not None:
        return f"halted: {facts.halted} (bursar chain clear {chain.name})"
    if facts.halted_lanes:
        return f"lane halted: {'; '.join(facts.halted_lanes)} (bursar holds list)"
    return None


def _stuck(facts: ChainFacts, now: datetime) -> str | None:
    for worker in facts.workers:
        if _is_stuck(worker, now):
            return f"{worker.name}: {worker.problem}"
    return None


def _silent(chain: ChainSettings, facts: ChainFacts, now: datetime) -> str | None:
    silence = now - (facts.asked_at or facts.started_at)
    if silence > max(SILENT_AT_LEAST, SILENT_POLLS * chain.poll_interval):
        return f"no provider has answered for {_seconds(silence)} s"
    if facts.head_time is not None and is_old(chain, facts.head_time, now):
        return f"the newest block is {_seconds(now - facts.head_time)} s old"
    return None


def is_old(chain: ChainSettings, block_time: datetime, now: datetime) -> bool:
    """Whether a chain's newest block should not be of so long ago; test chains have no pace."""
    limit = max(STALE_AT_LEAST, STALE_BLOCKS * chain.block_time)
    return not chain.is_test and now - block_time > limit


def _is_stuck(worker: Worker, now: datetime) -> bool:
    """A round that failed is tried again; one that failed for :data:`PATIENCE` is a state."""
    if worker.problem is None or not worker.leading:
        return False
    return worker.succeeded_at is None or now - worker.succeeded_at > PATIENCE


def _note(chain: ChainSettings, facts: ChainFacts) -> str:
    if facts.providers == 1 and not chain.receipts_proof:
        return "a single provider: completeness is not proven by a second one, nor by receipts"
    return ""


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)


def judge_tasks(down: Mapping[str, str]) -> Check:
    """One line about the daemon's tasks; pure."""
    return Check("tasks", not down, "; ".join(f"{name}: {why}" for name, why in down.items()))


async def database_check(ping: Callable[[], Awaitable[None]]) -> Check:
    """One line about the database."""
    try:
        await ping()
    except BursarError as error:
        return Check("database", False, error.what)
    return Check("database", True)
