"""A process that plans payout runs, and may be gone in the middle of a page.

``python -m tests.support.planner URL SIZE N``: pages of ``SIZE`` merchants; ``kill -9`` in the
``N``-th one, its promises made and not committed; 0: until nothing is left to plan.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import settlement.runs
from config.clock import SystemEntropy
from config.models import Settings
from ledger.payouts import NewPayout, create_payouts
from ledger.store import Ledger, Tx, make_engine
from settlement.runs import PayoutRuns
from tests.support.books import test_catalogue
from tests.support.clock import ManualClock


async def plan(url: str, size: int, dies_in: int) -> None:
    pages = 0

    async def made(tx: Tx, new: Sequence[NewPayout]) -> list[str]:
        nonlocal pages
        pages += 1
        ids = await create_payouts(tx, new)
        if pages == dies_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return ids

    settlement.runs._AT_ONCE = size  # type: ignore[misc]
    settlement.runs.create_payouts = made  # type: ignore[attr-defined]
    ledger = Ledger(
        make_engine(url),
        clock=ManualClock(),
        entropy=SystemEntropy(),
        catalogue=test_catalogue(),
        public_url="http://pay.example",
    )
    runs = PayoutRuns(ledger, settings=Settings.model_validate({}), refused=[], gated=False)
    while await runs.tick():
        pass
    await ledger.dispose()


if __name__ == "__main__":
    asyncio.run(plan(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
