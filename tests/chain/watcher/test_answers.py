"""Answers that cannot be true: refused, laid at the provider's door, and asked for elsewhere."""

from __future__ import annotations

import pytest

from chain.model import TRANSFER_TOPIC
from chain.rpc.errors import RpcError
from tests.chain.watcher.scenes import ServedBy, pay_many, persist
from tests.chain.watcher.world import World
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from watcher.doubts import IncompleteReply
from watcher.status import Outcome

ONE_DATABASE = pytest.mark.parametrize("database_backend", ["sqlite"], indirect=True)
"""What is tried here is between daemon and provider, in many kinds."""
FALSE = [
    Kind.null_block, Kind.wrong_height, Kind.foreign_log, Kind.outside_log, Kind.removed_log,
    Kind.other_hash, Kind.milliseconds, Kind.truncated, Kind.garbled, Kind.not_json, Kind.html,
    Kind.wrong_id, Kind.dropped,
]  # fmt: skip


@ONE_DATABASE
@pytest.mark.parametrize("kind", FALSE)
async def test_f06_false_answers__always_from_one_of_two__the_other_one_serves(
    kind: Kind,
    world: World,
    liar: FaultProxy,
    honest: FaultProxy,
    served_by: ServedBy,
) -> None:
    """The liar is first in the configuration, so it is asked until it is found out."""
    served_by(liar.url, honest.url)
    await world.follow()
    fault = liar.add(Fault(kind))
    await persist(world, await pay_many(world, 3))
    assert fault.struck
    assert sorted(await world.statuses()) == ["confirmed"] * 3
    assert world.observer.reorgs == [] and world.observer.violations == 0
    assert honest.requests["eth_getLogs"] > 0
    await world.agrees()


async def test_f06_false_answers__from_the_only_provider__nothing_believed_then_all_found(
    world: World, liar: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url)
    await world.follow()
    expected: list[str] = []
    for kind in FALSE:
        before = await world.cursor()
        all_paid = await pay_many(world, 1)
        fault = liar.add(Fault(kind))
        refused = 0
        for _ in range(3):
            try:
                assert (await world.watcher.tick()).outcome is Outcome.AGAIN  # a new address
            except (RpcError, IncompleteReply):
                refused += 1
            world.clock.advance(1)
        assert fault.struck and refused >= 2, kind
        assert (await world.cursor(), await world.statuses()) == (before, expected), kind
        liar.clear()
        await persist(world, all_paid)
        expected.append("confirmed")
    assert await world.statuses() == expected
    assert world.observer.reorgs == []
    await world.agrees()


@ONE_DATABASE
async def test_f06_all_logs_of_a_block__said_to_be_of_another__the_other_one_is_asked(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    """The filtered answer is empty against the bloom, and what should settle it cannot be so."""
    served_by(liar.url, honest.url)
    await world.follow()
    liar.add(Fault(Kind.empty_logs, naming=TRANSFER_TOPIC.hex()))
    false = liar.add(Fault(Kind.outside_log, naming='"topics": []'))
    await persist(world, await pay_many(world, 1))
    assert false.struck
    assert await world.statuses() == ["confirmed"]
    await world.agrees()


async def test_f06_receipts_denied__by_one_of_two__waits_until_it_has_them(
    world: World, liar: FaultProxy, honest: FaultProxy, served_by: ServedBy
) -> None:
    """It may be late, or the other one may have invented them: nothing is confirmed meanwhile."""
    served_by(honest.url, liar.url)
    await world.follow()
    fault = liar.add(Fault(Kind.null_receipt))
    all_paid = await pay_many(world, 1)
    for _ in range(60):
        await world.watcher.tick()
        world.clock.advance(10)
    assert fault.struck
    assert await world.statuses() == ["confirming"]
    liar.clear()
    await persist(world, all_paid)
    assert await world.statuses() == ["confirmed"]
    await world.agrees()


async def test_f06_receipts_denied__by_the_only_provider__read_again(
    world: World, liar: FaultProxy, served_by: ServedBy
) -> None:
    served_by(liar.url)
    await world.follow()
    all_paid = await pay_many(world, 2)
    fault = liar.add(Fault(Kind.null_receipt, times=5))
    await persist(world, all_paid)
    assert fault.times == 0
    assert await world.statuses() == ["confirmed"] * 2
    await world.agrees()


ERRORS = [
    (-32000, "header not found"),
    (-32000, "missing trie node 0a (path ) state 0x0b is not available"),
    (4444, "pruned history unavailable"),
    (-32601, "the method eth_getLogs does not exist/is not available"),
    (-32005, "daily request limit exceeded"),
    (-32000, "something that nobody has ever seen"),
    (-32603, "Internal error"),
]


@ONE_DATABASE
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error[1][:24])
async def test_f06_logs_refused__always_by_one_of_two__the_other_one_serves(
    error: tuple[int, str],
    world: World,
    liar: FaultProxy,
    honest: FaultProxy,
    served_by: ServedBy,
) -> None:
    """It has the newest head and answers everything else well."""
    served_by(liar.url, honest.url)
    await world.follow()
    fault = liar.add(Fault(Kind.error, methods={"eth_getLogs"}, value=error))
    await persist(world, await pay_many(world, 2))
    assert fault.struck
    assert await world.statuses() == ["confirmed"] * 2
    await world.agrees()
