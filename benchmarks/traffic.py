"""What following a chain costs at the provider: HTTP requests, and calls as they are billed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.books import sqlite_url
from benchmarks.catchup import catch_up
from benchmarks.context import Context
from benchmarks.figures import Figure, Target, at_most
from benchmarks.replay.chain import ChainSpec
from benchmarks.replay.process import Replay, Traffic
from benchmarks.stage import CONFIRMATIONS, open_stage
from watcher.status import Outcome

RANGES: Final = 3
RANGE: Final = 100
HEAD_BLOCKS: Final = 40
_APART: Final = ("poll", "eth_getTransactionReceipt")


def measure(context: Context) -> list[Figure]:
    """Three ranges of 100 blocks below finality, then forty blocks at the head one by one."""
    count = context.sizes.few_addresses
    blocks = RANGE * (RANGES + 1) + CONFIRMATIONS + HEAD_BLOCKS
    spec = ChainSpec(blocks=blocks, logs_per_hit=2_000, watched=count)
    path = context.cache.copy(count, context.folder, "traffic.db")
    with Replay(spec) as replay:
        behind, ahead = asyncio.run(_follow(replay, path))
    return [
        _figure("catch-up, 100-block ranges", behind, RANGE * RANGES, at_most(0.03)),
        _figure("new block at the head", ahead, HEAD_BLOCKS, at_most(4)),
    ]


async def _follow(replay: Replay, path: Path) -> tuple[Traffic, Traffic]:
    async with open_stage(sqlite_url(path), replay.url) as stage:
        await catch_up(stage, replay, RANGE)
        replay.traffic()
        await catch_up(stage, replay, RANGE * (RANGES + 1))
        behind = replay.traffic()
        head = RANGE * (RANGES + 1) + CONFIRMATIONS
        replay.show(head=head)
        while (await stage.watcher.tick()).outcome is not Outcome.IDLE:
            pass
        replay.traffic()
        for number in range(head + 1, head + 1 + HEAD_BLOCKS):
            replay.show(head=number)
            while stage.watcher.status().cursor != number:
                await stage.watcher.tick()
        return behind, replay.traffic()


def _figure(name: str, traffic: Traffic, blocks: int, target: Target) -> Figure:
    return Figure(
        f"HTTP requests per block, {name}",
        traffic.without(*_APART) / blocks,
        "requests",
        target=target,
        details={
            "with_polls_and_receipts": traffic.total / blocks,
            "billed_calls_per_block": traffic.billed / blocks,
            "requests_by_kind": dict(traffic.requests),
            "calls_by_method": dict(traffic.calls),
            "received_bytes_per_block": traffic.sent / blocks,
        },
    )
