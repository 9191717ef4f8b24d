"""Catching up: logs a second through everything, from the socket to the commit."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.baselines import (
    Run,
    count_with_msgspec,
    count_with_orjson,
    read_raw,
    read_web3,
)
from benchmarks.books import count_rows, sqlite_url
from benchmarks.context import Context
from benchmarks.figures import Figure, Target, at_least, at_most
from benchmarks.replay.chain import XPUB, ChainSpec
from benchmarks.replay.process import Replay
from benchmarks.stage import CONFIRMATIONS, Stage, open_stage
from wallets.derivation import DepositDeriver

LATENCY: Final = 0.05
LOGS: Final = 200
_WARM_UP: Final = 100
_UNIT: Final = "logs/s"


@dataclass
class Rounds:
    """Each contender's runs over the same stretches of blocks, in turn."""

    orjson: list[Run] = field(default_factory=list)
    msgspec: list[Run] = field(default_factory=list)
    many: list[Run] = field(default_factory=list)
    few: list[Run] = field(default_factory=list)
    slow: list[Run] = field(default_factory=list)
    web3: list[Run] = field(default_factory=list)


def measure(context: Context) -> list[Figure]:
    """Catch-up with many and with few addresses, against the baselines, and with latency."""
    sizes = context.sizes
    spec = ChainSpec(
        blocks=_WARM_UP + 2 * sizes.rounds * sizes.segment_blocks + CONFIRMATIONS,
        watched=sizes.few_addresses,
    )
    paths = [
        context.cache.copy(count, context.folder, f"{name}.db")
        for name, count in (("many", sizes.addresses), ("few", sizes.few_addresses))
    ]
    context.tell(f"making {spec.blocks * LOGS:,} logs")
    with Replay(spec) as replay:
        rounds = asyncio.run(_race(context, replay, paths))
    return _figures(rounds, sizes.addresses, sizes.few_addresses)


async def _race(context: Context, replay: Replay, paths: list[Path]) -> Rounds:
    sizes, rounds = context.sizes, Rounds()
    wanted = _topics(sizes.addresses)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        many, few = [
            await stack.enter_async_context(open_stage(sqlite_url(path), replay.url))
            for path in paths
        ]
        context.tell("loading addresses")
        for stage in (many, few):
            await catch_up(stage, replay, _WARM_UP)
        top = _WARM_UP
        for number in range(sizes.rounds):
            context.tell(f"round {number + 1} of {sizes.rounds}")
            first, top = top + 1, top + sizes.segment_blocks
            replay.show(head=top + CONFIRMATIONS - 1)
            url = replay.url
            rounds.orjson.append(
                await read_raw(session, url, first, top, count_with_orjson(wanted))
            )
            rounds.msgspec.append(
                await read_raw(session, url, first, top, count_with_msgspec(wanted))
            )
            rounds.many.append(await catch_up(many, replay, top))
            rounds.few.append(await catch_up(few, replay, top))
            last = first + sizes.web3_blocks - 1
            rounds.web3.append(await read_web3(url, first, last, wanted))
            top += sizes.segment_blocks
            replay.show(latency=LATENCY)
            rounds.slow.append(await catch_up(many, replay, top))
            replay.show(latency=0)
            await catch_up(few, replay, top)
        await _check(many, rounds, top)
    return rounds


async def catch_up(stage: Stage, replay: Replay, top: int) -> Run:
    """Tick until ``top`` is committed; all of it lies below finality."""
    replay.show(head=top + CONFIRMATIONS - 1)
    start = stage.watcher.status().cursor or 0
    began, cpu = time.perf_counter(), time.process_time()
    while (stage.watcher.status().cursor or 0) < top:
        await stage.watcher.tick()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Run((top - start) * LOGS, 0, seconds, cpu)


async def _check(stage: Stage, rounds: Rounds, top: int) -> None:
    """A fast scan that misses payments is worth nothing."""
    expected = top * LOGS // 10_000
    found = await count_rows(stage.house.ledger, "payments")
    if abs(found - expected) > 1:
        raise RuntimeError(f"{found} payments in the books instead of {expected}")
    for run in (*rounds.orjson, *rounds.msgspec):
        assert abs(run.hits - run.logs // 10_000) <= 1, run


def _topics(addresses: int) -> frozenset[str]:
    """What a plain program keeps: topic 2 as the node spells it."""
    deriver = DepositDeriver(XPUB)
    return frozenset("0x" + "0" * 24 + deriver.address(i).hex() for i in range(addresses))


def _figures(rounds: Rounds, many: int, few: int) -> list[Figure]:
    return [
        _against(f"catch-up, {many:,} addresses", "bare msgspec + set", rounds.many,
                 rounds.msgspec, at_least(0.8, "ratio")),
        _against(f"catch-up, {many:,} addresses", "web3 get_logs", rounds.many, rounds.web3,
                 at_least(25, "ratio")),
        _against(f"catch-up, {many:,} addresses", "bare orjson + set", rounds.many,
                 rounds.orjson, None),
        _against(f"catch-up, {few:,} addresses", f"with {many:,}", rounds.few, rounds.many,
                 at_most(1.25, "ratio")),
        _against(f"catch-up with {LATENCY * 1000:.0f} ms a call", "without latency", rounds.slow,
                 rounds.many, at_least(0.6, "ratio")),
    ]  # fmt: skip


def _against(
    name: str, baseline: str, ours: list[Run], theirs: list[Run], target: Target | None
) -> Figure:
    # The best round of each: what else runs on the machine only ever slows a round down.
    value, other = (max(run.speed for run in runs) for runs in (ours, theirs))
    ratio = value / other
    cpu, other_cpu = (max(run.cpu_speed for run in runs) for runs in (ours, theirs))
    return Figure(
        name, value, _UNIT, baseline, other, ratio, target,
        {
            "logs_per_cpu_second": cpu,
            "baseline_logs_per_cpu_second": other_cpu,
            "ratio_of_cpu": cpu / other_cpu,
            "rounds": [round(run.speed) for run in ours],
            "baseline_rounds": [round(run.speed) for run in theirs],
        },
    )  # fmt: skip
