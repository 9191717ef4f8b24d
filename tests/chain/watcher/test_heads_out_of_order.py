"""Heads that are skipped, repeated, older, or change under a walk back: no gap, nothing twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
import sqlalchemy as sa

from ledger.schema import blocks
from tests.chain.watcher.scenes import ServedBy
from tests.chain.watcher.world import World
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher import service
from watcher.status import Outcome


async def test_f04_heads_skipped_repeated_and_older__linked_without_a_gap_each_payment_once(
    world: World, liar: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url)
    await world.follow()
    start, _ = await world.cursor()
    invoices = await world.invoices(6)
    cursors = [start]
    for number, invoice in enumerate(invoices):
        await world.pay(invoice.address, 10_000_000)
        await world.mine(number % 3)  # the watcher looks at every block, every second, every third
        for behind in (0, 0, 3, 1, 0):  # as it is, again, older, older, as it is
            liar.clear()
            if behind:
                liar.add(Fault(Kind.head_behind, value=behind))
            await world.watcher.tick()
            cursors.append((await world.cursor())[0])
    liar.clear()
    await world.settle()
    assert all(first <= then for first, then in pairwise(cursors))
    assert await world.statuses() == ["confirmed"] * 6
    assert world.observer.reorgs == []
    async with world.ledger.reading() as tx:
        query = sa.select(blocks).where(blocks.c.canonical).order_by(blocks.c.number)
        kept = list(await tx.conn.execute(query))
    for below, above in pairwise(kept):
        assert above.number > below.number
        assert above.number > below.number + 1 or above.parent_hash == below.hash
    await world.agrees()


async def test_f03_reorg_while_walking_back__the_walk_is_taken_up_again_from_what_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding the fork and committing the way back, the chain turns once more."""
    await world.follow()
    invoice, other = await world.invoices(2)
    await world.pay(invoice.address, 10_000_000)
    await world.mine()
    await world.follow()
    original = service.find_ancestor
    turned = []

    async def turn_meanwhile(*args: object, **more: object) -> object:
        found = await original(*args, **more)  # type: ignore[arg-type]
        if not turned:
            turned.append(await world.rpc.call("anvil_reorg", 2, []))
            await world.pay(other.address, 10_000_000)
            await world.mine()
        return found

    monkeypatch.setattr(service, "find_ancestor", turn_meanwhile)
    await world.reorg(2)
    await world.mine()
    results = await world.follow()
    assert turned and Outcome.REWOUND in {result.outcome for result in results}
    await world.settle()
    assert sorted(await world.statuses()) == ["confirmed", "orphaned"]
    assert [await world.status(i) for i in (invoice, other)] == ["new", "paid"]
    assert world.watcher.status().ready
    await world.agrees()
