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
DATABASE_SECONDS: Final = 5.0


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


def judge_chain(chain: ChainSettings, facts: ChainFacts, now: datetime) -> Check:
    """One line about one chain; pure."""
    name = f"chain {chain.name}"
    if facts.gate is not None:
        return Check(name, False, facts.gate)
    if facts.halted is not None:
        return Check(name, False, f"halted: {facts.halted} (bursar chain clear {chain.name})")
    if facts.halted_lanes:
        return Check(name, False, f"lane halted: {'; '.join(facts.halted_lanes)}")
    silence = now - (facts.asked_at or facts.started_at)
    if silence > max(SILENT_AT_LEAST, SILENT_POLLS * chain.poll_interval):
        return Check(name, False, f"no provider has answered for {_seconds(silence)} s")
    if facts.head_time is not None and not chain.is_test:
        age = now - facts.head_time
        if age > max(STALE_AT_LEAST, STALE_BLOCKS * chain.block_time):
            return Check(name, False, f"the newest block is {_seconds(age)} s old")
    return Check(name, True, _note(facts))


def _note(facts: ChainFacts) -> str:
    if facts.providers == 1:
        return "a single provider: completeness is not proven by a second one"
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
