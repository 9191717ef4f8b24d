"""Money that keeps flowing while processes die: invoices paid one after another, paid out at once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from chain.anvil import Anvil, DevRpc
from tests.support.tokens import balance_of
from tests.support.world import Merchant, World, open_world

ROOT = Path(__file__).resolve().parents[3]
SYMBOLS = ("USDC", "USDT")
MERCHANTS = 3


def start_process(world: World, crash_at: str = "", port: int | None = None) -> Any:
    """``bursar run`` that may kill itself; its output goes to the world's log."""
    environment = world.environment() | {"CRASH_AT": crash_at, "PYTHONPATH": str(ROOT)}
    if port is not None:
        environment["BURSAR_HTTP__PORT"] = str(port)
    with (world.folder / "daemon.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.system.crash.process", "run"],
            env=environment,
            cwd=world.folder,
            stdout=log,
            stderr=log,
        )


@dataclass
class Flow:
    """Payments to invoices that were opened before; what each merchant must get."""

    world: World
    merchants: list[Merchant]
    open: list[tuple[int, dict[str, Any]]]
    moments: random.Random
    owed: Counter[tuple[int, str]] = field(default_factory=Counter)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    mining: asyncio.Task[None] | None = None

    async def pay_one(self) -> None:
        """The next invoice, in full and a little over, whatever runs or does not."""
        index, invoice = self.open.pop()
        symbol = self.moments.choice(SYMBOLS)
        amount = f"{self.moments.randrange(10, 99)}.{self.moments.randrange(10**6):06d}"
        await self.world.pay(invoice, symbol, amount, payer=index + 1)
        self.owed[index, symbol] += self.world.tokens[symbol].units(amount)

    async def _keep_paying(self) -> None:
        while self.open and not self.stopping.is_set():
            await self.pay_one()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), self.moments.uniform(0.5, 1.5))

    def go(self) -> None:
        """Payments and blocks, until :meth:`rest`."""
        self.stopping.clear()
        self.task = asyncio.create_task(self._keep_paying())
        if self.mining is None:
            self.mining = asyncio.create_task(self.world.mining())

    async def _no_more_payments(self) -> None:
        """The one under way is finished: cut off, it could arrive without being counted."""
        self.stopping.set()
        if self.task is not None:
            await self.task
        self.task = None

    async def rest(self) -> None:
        """No more payments and no more blocks but those of transactions."""
        await self._no_more_payments()
        if self.mining is not None:
            self.mining.cancel()
            with suppress(asyncio.CancelledError):
                await self.mining
        self.mining = None

    async def exact(self) -> None:
        """Wait until all is paid out; every unit arrived once, and the books agree."""
        world = self.world
        await self._no_more_payments()

        async def paid() -> bool:
            for index, merchant in enumerate(self.merchants):
                for symbol in SYMBOLS:
                    if await self._got(merchant, symbol) < self.owed[index, symbol]:
                        return False
            return True

        await world.until(paid, "everything paid arrives", 120)
        await world.settled(self.merchants)
        got = {
            (index, symbol): await self._got(merchant, symbol)
            for index, merchant in enumerate(self.merchants)
            for symbol in SYMBOLS
        }
        assert got == {place: self.owed[place] for place in got}
        status, out, err = await world.bursar("reconcile", "--json")
        assert status == 0, (out, err)

    async def _got(self, merchant: Merchant, symbol: str) -> int:
        token = self.world.tokens[symbol].address
        return await balance_of(self.world.rpc, token, merchant.destination)

    async def died(self, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
        """Wait until a process has killed itself."""

        async def dead() -> bool:
            return process.poll() is not None

        await self.world.until(dead, "the process reaches the point where it dies", seconds)
        assert process.returncode == -signal.SIGKILL, self.world.log[-3000:]


@asynccontextmanager
async def flowing(
    folder: Path, anvil: Anvil, rpc: DevRpc, database: str, *, invoices: int, seed: int = 1
) -> AsyncIterator[Flow]:
    """A house that pays out every second, with open invoices; its daemon is ready."""
    async with aiohttp.ClientSession() as session:
        world = await open_world(folder, anvil, rpc, session, database)
        world.write_config(**{'schedule = "0 2 1 1 *"': 'schedule = "every 1s"'})
        await world.prepare()
        world.process = start_process(world)
        await world.ready(60)
        merchants = [await world.merchant(f"M{n}", n) for n in range(MERCHANTS)]
        wanted = [
            merchants[n % MERCHANTS].api.post("/v1/invoices", {"amount": "10", "currency": "USD"})
            for n in range(invoices)
        ]
        made = [(n % MERCHANTS, invoice) for n, invoice in enumerate(await asyncio.gather(*wanted))]
        flow = Flow(world, merchants, made, random.Random(seed))
        try:
            yield flow
        finally:
            await flow.rest()
            if world.process is not None and world.process.poll() is None:
                world.process.kill()
                world.process.wait(10)


KILLS = int(os.environ.get("CRASH_KILLS", "3"))
"""Random moments at which a process is killed; the full figure is 25."""
EVERY_POINT = os.environ.get("CRASH_POINTS") == "all"
