"""How far a provider can be trusted right now: pure values and transitions.

A failure adds 1 to a score that halves every 30 seconds and with every success.
At 2.5 the provider rests, longer each time up to a minute; afterwards it is
tried again, behind those with a better score. No state but ``wrong_chain``
excludes a provider: with nobody better, the worst is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

HALF_LIFE: Final = 30.0
REST_AT: Final = 2.5
LONGEST_REST: Final = 60.0
RECHECK_CHAIN: Final = 60.0
OUT_OF_SYNC_FOR: Final = 10.0
LAG_BLOCKS: Final = 8
"""Heads further than this behind the best head count as out of sync."""


class ProviderState(StrEnum):
    alive = "alive"
    out_of_sync = "out_of_sync"
    unreachable = "unreachable"
    wrong_chain = "wrong_chain"
    rate_limited = "rate_limited"


_SEVERITY: Final = {
    ProviderState.alive: 0,
    ProviderState.rate_limited: 1,
    ProviderState.out_of_sync: 2,
    ProviderState.unreachable: 3,
    ProviderState.wrong_chain: 4,
}


@dataclass(frozen=True, slots=True)
class Health:
    """One provider's record; times are monotonic seconds."""

    score: float = 0.0
    scored_at: float = 0.0
    state: ProviderState = ProviderState.alive
    until: float = 0.0
    head: int | None = None
    chain_proven_until: float = 0.0
    """Its chain id was right, and is believed to be until then."""


def score_at(health: Health, now: float) -> float:
    """Failure score, decayed to ``now``."""
    elapsed = max(0.0, now - health.scored_at)
    return float(health.score * 0.5 ** (elapsed / HALF_LIFE))


def state_at(health: Health, now: float) -> ProviderState:
    """The state, which wears off by itself."""
    return health.state if now < health.until else ProviderState.alive


def succeeded(health: Health, now: float) -> Health:
    """A good answer came: half the score; a rest or a limit is over."""
    lasting = health.state in (ProviderState.wrong_chain, ProviderState.out_of_sync)
    state = health.state if lasting and now < health.until else ProviderState.alive
    until = health.until if state is not ProviderState.alive else 0.0
    return replace(health, score=score_at(health, now) / 2, scored_at=now, state=state, until=until)


def failed(health: Health, now: float) -> Health:
    """No answer, or one that cannot be true.

    A provider that rests must prove its chain id again: what comes back behind
    the same URL may be another node.
    """
    score = score_at(health, now) + 1.0
    health = replace(health, score=score, scored_at=now)
    if score < REST_AT or state_at(health, now) is ProviderState.wrong_chain:
        return health
    rest = min(LONGEST_REST, 2.0**score)
    return replace(
        health, state=ProviderState.unreachable, until=now + rest, chain_proven_until=0.0
    )


def limited(health: Health, now: float, pause: float) -> Health:
    """It said "too fast": not a fault, so the score stays."""
    return replace(health, state=ProviderState.rate_limited, until=now + pause)


def misled(health: Health, now: float) -> Health:
    """It serves another chain: out until asked again."""
    return replace(
        health, state=ProviderState.wrong_chain, until=now + RECHECK_CHAIN, chain_proven_until=0.0
    )


def on_right_chain(health: Health, now: float) -> Health:
    """Its chain id was read and is the configured one.

    Asked again every minute: a node that restarts as another chain between two requests
    breaks no connection that would tell.
    """
    if health.state is ProviderState.wrong_chain:
        health = replace(health, state=ProviderState.alive, until=0.0)
    return replace(health, chain_proven_until=now + RECHECK_CHAIN)


def saw_head(health: Health, now: float, head: int, best: int | None) -> Health:
    """It reported ``head``; ``best`` is the highest head that the others reported."""
    health = replace(health, head=head)
    if best is not None and best - head > LAG_BLOCKS:
        if state_at(health, now) is ProviderState.alive:
            health = replace(health, state=ProviderState.out_of_sync, until=now + OUT_OF_SYNC_FOR)
    elif health.state is ProviderState.out_of_sync:
        health = replace(health, state=ProviderState.alive, until=0.0)
    return health


def rank(health: Health, now: float, order: int) -> tuple[int, int, int]:
    """Sort key, best first: state, whole failures, then the order of configuration."""
    return _SEVERITY[state_at(health, now)], int(score_at(health, now) + 0.5), order
