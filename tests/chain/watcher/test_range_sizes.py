"""A provider's limit is learned once: it is known after a restart, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from chain.anvil import Anvil
from ledger.schema import provider_ranges
from tests.chain.rpc.conftest import MakeClient
from tests.chain.watcher.world import World
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import service
from watcher.plan import ReadRange

LIMIT = "You can make eth_getLogs requests with up to a 7 block range."


def ranges_asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the ranges that are asked for, in order."""
    original, asked = service.read_step, []

    async def read(client: object, step: object, *args: object, **more: object) -> Any:
        if isinstance(step, ReadRange):
            asked.append(step.last - step.first + 1)
        return await original(client, step, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "read_step", read)
    return asked


async def test_f07_limit_named_by_a_provider__kept_to_after_a_restart(
    world: World, anvil: Anvil, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultProxy(anvil.rpc_url) as proxy:
        world.restart(make_client([proxy.url]), few_addresses=0)
        await world.invoice()
        await world.follow()
        fault = proxy.add(Fault(Kind.error, {"eth_getLogs"}, times=1, value=(-32600, LIMIT)))
        await world.mine(60)
        asked = ranges_asked(monkeypatch)
        await world.follow()
        assert fault.struck == 1 and asked[0] > 7
        world.restart(make_client([proxy.url]))
        await world.mine(60)
        asked.clear()
        await world.follow()
        assert max(asked) == 7

        async with world.ledger.transaction() as tx:
            (row,) = await tx.conn.execute(sa.select(provider_ranges))
            assert row.ceiling == 7 and proxy.url.endswith(row.provider)
            old = tx.now - timedelta(days=8)
            await tx.conn.execute(provider_ranges.update().values(ceiling_at=old))
        world.restart(make_client([proxy.url]))
        await world.mine(200)
        asked.clear()
        await world.follow()
        assert max(asked) > 7
