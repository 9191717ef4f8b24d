"""When each check of a chain last ran and where it goes on: kept, so that a restart continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ledger.schema import chain_checks
from ledger.sql import upsert
from ledger.store import Tx

BEGINNING: Final = -1


@dataclass(frozen=True, slots=True)
class CheckRun:
    """What is known of one check.

    :param block: as of which block it last ran, or up to which.
    :param position: where it goes on; :data:`BEGINNING` for a round that has to begin.
    """

    chain: str
    name: str
    at: datetime
    block: int = 0
    position: int = BEGINNING
    round_began: datetime | None = None
    round_done: datetime | None = None

    @property
    def under_way(self) -> bool:
        """Whether a round was begun and has not come to its end."""
        if self.round_began is None:
            return False
        return self.round_done is None or self.round_done < self.round_began

    def ended(self, at: datetime) -> CheckRun:
        """The round is at its end."""
        return replace(self, position=BEGINNING, round_done=at)


async def check_runs(tx: Tx, chain: str) -> dict[str, CheckRun]:
    """By name; checks that never ran are left out."""
    query = sa.select(chain_checks).where(chain_checks.c.chain == chain)
    return {row.name: CheckRun(**row._mapping) for row in await tx.conn.execute(query)}


async def save_runs(tx: Tx, runs: Sequence[CheckRun]) -> None:
    """Keep these as they are now."""
    await upsert(tx, chain_checks, [asdict(run) for run in runs], key=("chain", "name"))
