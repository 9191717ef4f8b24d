"""What the watcher's gauges say when it does not get on, and when it leads no more."""

from __future__ import annotations

from typing import Any

import pytest

from bursar.metrics.families import Families
from bursar.metrics.labels import begin_at_zero
from bursar.metrics.watching import WatcherMetrics
from chain.rpc.errors import RpcError
from tests.chain.watcher.counting import Counting
from tests.chain.watcher.world import World
from watcher import service
from watcher.status import Outcome


def measured(world: World) -> Families:
    """The world's watcher, told of by the metrics that the daemon has."""
    families = Families()
    begin_at_zero(families, world.ledger.catalogue)
    world.observer = WatcherMetrics(families)  # type: ignore[assignment]
    world.restart(lease_owner="first")
    return families


def value(families: Families, name: str, **labels: str) -> float | None:
    return families.registry.get_sample_value(f"bursar_{name}", {"chain": "anvil", **labels})


async def test_lag__passes_fail_while_the_head_moves_on__grows_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    families = measured(world)
    await world.follow()
    assert value(families, "watcher_lag_blocks") == value(families, "watcher_lag_seconds") == 0

    async def fails(*_: Any, **__: Any) -> None:
        raise RpcError("no provider keeps logs")

    monkeypatch.setattr(service, "read_step", fails)
    for lag in (5, 12):
        await world.rpc.call("evm_increaseTime", 60)
        await world.mine(lag - int(value(families, "watcher_lag_blocks") or 0))
        with pytest.raises(RpcError):
            await world.watcher.tick()
        assert value(families, "watcher_lag_blocks") == lag
        assert (value(families, "watcher_lag_seconds") or 0) >= (60 if lag == 5 else 120)


async def test_f19_another_leads__what_this_one_told_last_pages_nobody(world: World) -> None:
    """Else a tag seems to stand still, and money to wait, for as long as the process lives."""
    families = measured(world)
    metrics: Any = world.observer
    await world.follow()
    metrics.on_waiting("anvil", 1, 400.0)
    metrics.on_withheld("anvil", 900.0)
    metrics.on_head("anvil", "safe", 7)
    metrics.on_findings("anvil", "below", 2)
    first, world.observer = world.watcher, Counting()
    await first._leader.resign()
    world.restart(lease_owner="second")
    await world.watcher.tick()
    assert (await first.tick()).outcome is Outcome.STANDBY
    assert value(families, "unproven_payment_oldest_seconds") == 0
    assert value(families, "final_withheld_seconds") == 0
    assert value(families, "balance_audit_findings", kind="below") == 0
    assert value(families, "chain_head_block", tag="safe") == 0
    assert (value(families, "chain_head_block", tag="latest") or 0) > 0
