"""Whom an issuer lists: nothing is sealed for him, and others do not wait for him."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.simulation.memory import FOREVER, ListKey
from tests.simulation.world import World

KNOWN_AFTER = 300.0
"""Seconds on the list after which whoever asks is told so."""
LOOKS = 3
"""In which somebody may wait beside what is listed."""


def knows(world: World, key: ListKey) -> bool:
    """Whether whoever seals now must have been told that the address is listed.

    Two providers have to say so, of which one may stand still.
    """
    sentence = world.sentences.get(key)
    if sentence is None or world.faults.level["rpc_stopped"]:
        return False
    return sentence.seen + KNOWN_AFTER < world.now() and world.is_listed(key)


def sealed_for(world: World, batch: Any) -> None:
    """I3: nothing is sealed that pays or sweeps an address which has been listed for long, nor
    swept into a treasury that has."""
    if not world.sentences:
        return
    rows = [
        *world.books.execute(
            "SELECT chain, token, address, 'paid to' AS what FROM payouts WHERE batch_id = ?",
            (batch,),
        ),
        *world.books.execute(
            "SELECT chain, token, address, 'swept from' AS what FROM sweep_items"
            " WHERE batch_id = ?",
            (batch,),
        ),
    ]
    for row in rows:
        place = (row["chain"], row["token"])
        for account in (row["address"], world.treasury):
            if knows(world, (*place, account)):
                text = f"{row['token']} on {row['chain']} is {row['what']}"
                text += f" {row['address'].hex()[:8]} in batch {batch}"
                world.violated("I3", f"{text}, and {account.hex()[:8]} is listed")


class Beside:
    """Counts the looks of the quiet period in which somebody waits without need."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waits: Counter[str] = Counter()

    def look(self) -> None:
        """I8: beside a deposit address that is listed whatever the treasury has is paid, and
        whatever is needed is swept."""
        world = self._world
        places = {
            key[:2]
            for key, sentence in world.sentences.items()
            if sentence.until != FOREVER and world.is_listed(key)
        }
        waiting = [one for place in sorted(places) for one in _waiting(world, *place)]
        self._waits = Counter({one: self._waits[one] + 1 for one in waiting})
        for one, looks in self._waits.items():
            if looks >= LOOKS:
                world.violated("I8", f"{one} waits beside somebody whom an issuer has listed")


def _waiting(world: World, chain: str, token: str) -> list[str]:
    """Payouts that could be paid, and deposits that could be swept for those that cannot."""
    queued = world.books.execute(
        "SELECT id, merchant_id, amount FROM payouts WHERE chain = ? AND token = ?"
        " AND status = 'queued'",
        (chain, token),
    ).fetchall()
    if not queued or _stopped(world):
        return []
    treasury = world.books.execute(
        "SELECT * FROM accounts WHERE kind = 'treasury' AND chain = ? AND token = ?", (chain, token)
    ).fetchall()
    has = sum(
        int(a["debits_posted"]) - int(a["credits_posted"]) - int(a["credits_pending"])
        for a in treasury
    )
    unswept = world.books.execute(
        "SELECT id, recipient FROM payments WHERE chain = ? AND token = ? AND status = 'confirmed'"
        " AND sweep_item_id IS NULL AND NOT held",
        (chain, token),
    ).fetchall()
    return [
        *(f"payout {row['id']}" for row in queued if int(row["amount"]) <= has),
        *(
            f"payment {row['id']}"
            for row in unswept
            if not world.is_listed((chain, token, row["recipient"]))
        ),
    ]


def _stopped(world: World) -> bool:
    """Whether something else may be why: a halt, a pause, a debt, a hold of more than one thing."""
    for query in (
        "SELECT 1 FROM chain_cursors WHERE halted_reason IS NOT NULL",
        "SELECT 1 FROM pauses",
        "SELECT 1 FROM accounts WHERE kind = 'receivable' AND debits_posted <> credits_posted",
        "SELECT 1 FROM leases WHERE COALESCE(ready_token, -1) <> fencing_token",
        "SELECT 1 FROM holds WHERE released_at IS NULL AND object_type NOT IN ('payout', 'sweep')",
    ):
        if world.books.execute(query).fetchone():
            return True
    return False
