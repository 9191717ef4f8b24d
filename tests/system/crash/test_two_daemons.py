"""Two daemons on one database; the leader is stopped past its lease and woken: exact."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from chain.anvil import Anvil, DevRpc
from ledger.schema import leases, transactions
from ledger.store import make_engine
from settlement.leading import lease_name
from tests.support.postgres import free_port
from tests.system.crash.flow import EVERY_POINT, Flow, flowing, start_process
from tests.system.crash.process import LEASE

pytestmark = pytest.mark.timeout(300)
STOPS = 3 if EVERY_POINT else 1


@pytest.fixture
async def flow(
    tmp_path: Path, anvil: Anvil, dev_rpc: DevRpc, database_url: str
) -> AsyncIterator[Flow]:
    async with flowing(tmp_path, anvil, dev_rpc, database_url, invoices=90, seed=2) as made:
        yield made


async def asked(flow: Flow, query: Any) -> list[Any]:
    engine = make_engine(flow.world.database)
    try:
        async with engine.connect() as conn:
            return list(await conn.execute(query))
    finally:
        await engine.dispose()


async def term(flow: Flow) -> int:
    """The fencing token: it grows whenever another process takes the lead."""
    query = sa.select(leases.c.fencing_token).where(leases.c.name == lease_name("anvil"))
    ((token,),) = await asked(flow, query)
    return int(token)


async def test_f19_leader_stopped_past_its_lease_and_woken__another_pays__exact(
    flow: Flow,
) -> None:
    world = flow.world
    first = world.process
    assert first is not None
    second = start_process(world, port=free_port())
    flow.go()
    taken = 0
    try:
        for turn in range(12):
            # Who leads is not visible from outside: each in turn, until the lead has changed.
            victim = (first, second)[turn % 2]
            await asyncio.sleep(flow.moments.uniform(0.5, 2.5))
            before = await term(flow)
            os.kill(victim.pid, signal.SIGSTOP)
            try:
                # Stopped inside a transaction it keeps its locks: then nobody can lead, and
                # nobody pays, until it is woken.
                await asyncio.sleep(2 * LEASE.total_seconds() + flow.moments.uniform(0.0, 1.0))
                taken += await term(flow) > before
            finally:
                os.kill(victim.pid, signal.SIGCONT)
            if taken == STOPS:
                break
        assert taken == STOPS
        assert first.poll() is None
        assert second.poll() is None
        await flow.exact()
    finally:
        second.kill()
        second.wait(10)
    rows = await asked(flow, sa.select(transactions.c.lane, transactions.c.nonce))
    for lane in ("sweeps", "payouts"):
        nonces = sorted({row.nonce for row in rows if row.lane == lane})
        first_one = nonces[0]  # above what the sender had used before the lane was opened
        assert nonces == list(range(first_one, first_one + len(nonces))), "a nonce was skipped"
