"""``bursar pause``, ``resume``, ``holds`` and ``chain clear``: what an operator decides.

Each is one transaction with its line in the audit log; a running daemon reads
it in its next tick.
"""

from __future__ import annotations

from typing import Any

from bursar.compose import House, open_house
from bursar.output import say, say_json, table
from bursar.roles import payment_policy, tolerance_of
from config.errors import ConflictError
from config.settings import Secrets, Settings
from ledger import pauses
from ledger.cursors import get_cursor
from ledger.decisions import record_decision
from ledger.holds import close_holds, open_holds, release_hold
from ledger.migrate import require_current
from ledger.store import Tx
from ledger.views import view_time
from watcher.effects import House as Decided
from watcher.violation import clear_violation

ACTOR = "command line"


async def pause(
    settings: Settings,
    secrets: Secrets,
    *,
    chain: str | None,
    only: pauses.What,
    reason: str | None,
) -> None:
    """Stop a scope until it is resumed, over restarts too.

    :raises NotFoundError: no such chain.
    """
    async with open_house(settings, secrets, chains=[chain] if chain else []) as house:
        await require_current(house.ledger.engine)
        scope = pauses.scope_of(only, chain)
        async with house.ledger.transaction() as tx:
            await pauses.pause(tx, scope, reason)
            await _record(tx, "pause", scope, {"reason": reason})
    say(f"paused: {scope}")


async def resume(
    settings: Settings, secrets: Secrets, *, chain: str | None, only: pauses.What
) -> None:
    """Let a scope go on; says what is still stopped by a wider pause."""
    async with open_house(settings, secrets, chains=[chain] if chain else []) as house:
        await require_current(house.ledger.engine)
        scope = pauses.scope_of(only, chain)
        async with house.ledger.transaction() as tx:
            gone = await pauses.resume(tx, scope)
            await _record(tx, "resume", scope, {"scopes": gone})
            left = await pauses.active_pauses(tx)
    say(f"resumed: {', '.join(gone) if gone else 'nothing was paused in ' + scope}")
    for still in left:
        say(f"still paused: {still.scope}")


async def holds(settings: Settings, secrets: Secrets, *, as_json: bool) -> None:
    """Everything that waits for a person, oldest first."""
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.reading() as tx:
            found = await open_holds(tx)
    if as_json:
        say_json(
            [
                {
                    "id": hold.id,
                    "kind": hold.kind,
                    "object": {"type": hold.object_type, "id": hold.object_id},
                    "reason": hold.reason,
                    "since": view_time(hold.since),
                }
                for hold in found
            ]
        )
        return
    rows = [(h.id, h.kind, h.object_id, view_time(h.since) or "", h.reason) for h in found]
    for line in table(("id", "kind", "object", "since", "reason"), rows):
        say(line)


async def release(settings: Settings, secrets: Secrets, *, hold_id: str) -> None:
    """Let what is on hold go on.

    :raises NotFoundError: no such hold; :raises ConflictError: released before.
    """
    async with open_house(settings, secrets, chains=[]) as house:
        await require_current(house.ledger.engine)
        async with house.ledger.transaction() as tx:
            hold = await release_hold(
                tx, hold_id, policy=payment_policy(house), tolerance=tolerance_of(house)
            )
            await _record(tx, "release", hold.object_id, {"hold": hold.id, "reason": hold.reason})
    say(f"released: {hold.kind} {hold.object_id} ({hold.reason})")


async def clear_chain(
    settings: Settings, secrets: Secrets, *, chain: str, to_block: int | None
) -> None:
    """Go on after a finality violation, once an operator has looked.

    :param to_block: the last block that both histories share; ``None``: the chain was repaired.
    :raises NotFoundError: no such chain.
    :raises ConflictError: it is not halted, or chain and books don't share the block.
    """
    async with open_house(settings, secrets, chains=[chain]) as house:
        await require_current(house.ledger.engine)
        reason, count = await clear_in(house, chain, to_block)
    say(f"cleared: {chain} (was halted: {reason})")
    if to_block is not None:
        say(f"taken back above block {to_block}: {count} payments; it is read again from there")


async def clear_in(house: House, chain: str, to_block: int | None) -> tuple[str, int]:
    """As :func:`clear_chain`, in an open house; why it was halted, and payments taken back."""
    (configured,) = (c for c in house.chain_settings() if c.name == chain)
    async with house.ledger.reading() as tx:
        cursor = await get_cursor(tx, chain)
    if cursor is None or cursor.halted_reason is None:
        raise ConflictError("is not halted", where=f"chain {chain}")
    reason = cursor.halted_reason

    async def note(tx: Tx, taken_back: int) -> None:
        await close_holds(tx, "chain", chain, "cleared by an operator")
        detail = {"reason": reason, "to_block": to_block, "taken_back": taken_back}
        await _record(tx, "clear", chain, detail)

    decided_by = Decided(configured, payment_policy(house), tolerance_of(house))
    count = await clear_violation(
        house.ledger, house.chains[chain], decided_by, to_block, also=note
    )
    return reason, count


async def _record(tx: Tx, action: str, object_id: str, detail: dict[str, Any]) -> None:
    await record_decision(tx, ACTOR, action, object_id, detail)
