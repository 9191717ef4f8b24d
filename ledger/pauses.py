"""The stop switch: what is paused, kept over restarts and read in every tick.

A scope is ``all``, ``payouts`` or ``sweeps``, optionally of one chain, or of one
token there: ``payouts:base``, ``payouts:base/USDC``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa

from config.errors import InvalidInputError
from ledger.bulk import execute
from ledger.schema import pauses
from ledger.sql import insert_ignore
from ledger.store import Tx

What = Literal["all", "payouts", "sweeps"]
SCOPES: Final[tuple[What, ...]] = ("all", "payouts", "sweeps")


@dataclass(frozen=True, slots=True)
class Pause:
    """A scope that is stopped, since when and why."""

    scope: str
    since: datetime
    reason: str | None


def scope_of(what: What = "all", chain: str | None = None, token: str | None = None) -> str:
    """The scope's text; a token needs its chain."""
    place = chain if token is None else f"{chain}/{token}"
    return what if chain is None else f"{what}:{place}"


def stops(scope: str, what: What, chain: str) -> bool:
    """Whether a paused scope stops ``what`` (payouts or sweeps) on the whole chain. Pure."""
    kind, _, only = scope.partition(":")
    return kind in {"all", what} and only in {"", chain}


async def pause(tx: Tx, scope: str, reason: str | None = None) -> None:
    """Stop a scope; stopping it again keeps the first time and reason.

    :raises InvalidInputError: no such scope.
    """
    _check(scope)
    await insert_ignore(tx, pauses, [{"scope": scope, "since": tx.now, "reason": reason}])


async def resume(tx: Tx, scope: str) -> list[str]:
    """Let a scope go on, with all narrower ones inside it; returns those that were stopped.

    A wider pause stays: resuming ``payouts`` changes nothing while ``all`` is paused.

    :raises InvalidInputError: no such scope.
    """
    _check(scope)
    inside = [p.scope for p in await active_pauses(tx) if _within(p.scope, scope)]
    if inside:
        await tx.conn.execute(pauses.delete().where(pauses.c.scope.in_(inside)))
    return inside


async def lift(tx: Tx, scope: str) -> None:
    """Let exactly this scope go on; what is stopped inside or around it stays so."""
    await tx.conn.execute(pauses.delete().where(pauses.c.scope == scope))


ACTIVE: Final = sa.select(pauses.c.scope, pauses.c.since, pauses.c.reason).order_by(pauses.c.scope)


async def active_pauses(tx: Tx) -> list[Pause]:
    """Everything that is stopped now."""
    return [Pause(**row) for row in await execute(tx, ACTIVE)]


async def paused_tokens(tx: Tx, what: What, chain: str) -> set[str]:
    """Tokens of which payouts or sweeps are stopped on a chain that is not stopped as a whole."""
    found = set()
    for stopped in await active_pauses(tx):
        kind, _, place = stopped.scope.partition(":")
        on, _, token = place.partition("/")
        if token and kind in {"all", what} and on == chain:
            found.add(token)
    return found


def _within(inner: str, outer: str) -> bool:
    kind, _, place = inner.partition(":")
    outer_kind, _, outer_place = outer.partition(":")
    chain, _, _ = place.partition("/")
    return outer_kind in {"all", kind} and outer_place in {"", chain, place}


def _check(scope: str) -> None:
    kind, colon, chain = scope.partition(":")
    if kind not in SCOPES or (colon and not chain):
        raise InvalidInputError(
            f"{scope[:60]!r} is not a scope", remedy="all, payouts or sweeps, or with :chain"
        )
