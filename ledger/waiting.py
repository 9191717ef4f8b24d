"""What waits for settlement on a chain: asked in every tick, and most often nothing does.

One hop to SQLite's thread and one look into an index for each answer, where the parts of
settlement would each open a transaction to find out that there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from ledger.batches import OPEN_LANES
from ledger.bulk import Read, read_all
from ledger.held_payouts import HELD_TOKENS
from ledger.receivables import DEBTS_ON
from ledger.schema import payments, payouts
from ledger.store import Tx

_UNSWEPT: Final = (
    sa.select(payments.c.token)
    .where(
        payments.c.chain == sa.bindparam("of_chain"),
        payments.c.token == sa.bindparam("of_token"),
        # Spelled as in the index, which holds nothing else.
        sa.text("payments.status = 'confirmed' AND payments.sweep_item_id IS NULL"),
    )
    .limit(sa.literal_column("1"))
)
_QUEUED: Final = (
    sa.select(payouts.c.token)
    .where(
        payouts.c.chain == sa.bindparam("of_chain"),
        payouts.c.status == sa.literal_column("'queued'"),
    )
    .limit(sa.literal_column("1"))
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A chain's work, as one snapshot has it. More may turn up until the next.

    :param unswept: tokens of which confirmed payments lie at deposit addresses, held ones too.
    :param queued: whether payouts wait for a batch.
    :param on_hold: whether payouts are on hold for the reason that was asked about.
    :param owing: whether a merchant owes something.
    :param lanes: that have a batch which is neither final nor void.
    """

    unswept: frozenset[str]
    queued: bool
    on_hold: bool
    owing: bool
    lanes: frozenset[str]

    @property
    def payouts(self) -> bool:
        """Whether payouts have anything to look at."""
        return self.queued or self.on_hold or self.owing


async def what_waits(tx: Tx, chain: str, tokens: Collection[str], reason: str) -> Waiting:
    """The chain's work.

    :param tokens: that may have been paid in.
    :param reason: why payouts may be on hold and come free by themselves.
    """
    on = {"of_chain": chain}
    queued, on_hold, owing, lanes, *unswept = await read_all(
        tx,
        [
            Read(_QUEUED, params=on),
            Read(HELD_TOKENS, params={**on, "why": reason}),
            Read(DEBTS_ON, params=on),
            Read(OPEN_LANES, params=on),
            *(Read(_UNSWEPT, params={**on, "of_token": token}) for token in tokens),
        ],
    )
    return Waiting(
        unswept=frozenset(row["token"] for rows in unswept for row in rows),
        queued=bool(queued),
        on_hold=bool(on_hold),
        owing=any(row["debits_posted"] > row["credits_posted"] for row in owing),
        lanes=frozenset(row["lane"] for row in lanes),
    )
