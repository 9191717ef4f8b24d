"""One round from the empty chain to the verdict, and everything put away again."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console

from bursar.demo import report
from bursar.demo.acts import play
from bursar.demo.api import Api
from bursar.demo.beside import beside, until_signal
from bursar.demo.board import Board
from bursar.demo.daemon import daemon, tail
from bursar.demo.errors import DemoError
from bursar.demo.measure import Verdict, judge
from bursar.demo.receiver import Receiver
from bursar.demo.screen import screen_for
from bursar.demo.stage import Stage, open_invoices, open_shops, wait_until_ready
from bursar.demo.watch import Observer
from bursar.demo.world import build, local_chain
from config.clock import Clock, Entropy, SystemClock, SystemEntropy
from config.errors import BursarError

INTERRUPTED: Final = 130
BEAT_SECONDS: Final = 1.5
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOG: Final = "daemon.log"


def run(*, once: bool, keep: bool) -> int:
    """Play the demo; exit status: 0 if all agrees, 1 if something differs, 130 if interrupted.

    :param once: end after the round; so it does anyway where there is no terminal.
    :param keep: leave everything running after the round, until Ctrl-C.
    :raises DemoError: the round could not be played to its end.
    """
    console = Console(highlight=False)
    stay = keep or (not once and console.is_terminal)
    demo = _Demo(console, SystemClock(), SystemEntropy(), stay=stay)
    status = asyncio.run(until_signal(demo.play(), _SIGNALS))
    if status is None:
        # All is put away; one more Ctrl-C must not turn the way out into a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return INTERRUPTED
    return status


class _Demo:
    """One run of the command."""

    def __init__(self, console: Console, clock: Clock, entropy: Entropy, *, stay: bool) -> None:
        self._console = console
        self._clock = clock
        self._entropy = entropy
        self._stay = stay
        self._board = Board()
        self._folder = Path(tempfile.mkdtemp(prefix="bursar-demo-"))

    async def play(self) -> int:
        """The exit status. The folder is kept only where it explains a failure."""
        try:
            async with AsyncExitStack() as stack:
                verdict = await self._whole(stack)
        except BursarError:
            said = tail(self._folder / _LOG)
            if said:
                sys.stderr.write(f"{said}\n(the end of {self._folder / _LOG})\n")
            raise
        except asyncio.CancelledError:
            self._forget()
            raise
        if verdict.problems:
            self._console.print(f"[dim]log and database are kept in {self._folder}[/]")
            return 1
        self._forget()
        return 0

    async def _whole(self, stack: AsyncExitStack) -> Verdict:
        started = self._clock.monotonic()
        with screen_for(self._console, self._board, self._clock) as live:
            verdict = await self._round(stack, beat_seconds=BEAT_SECONDS if live else 0.0)
        seconds = self._clock.monotonic() - started
        report.show(self._console, verdict, self._board, seconds)
        if self._stay:
            report.show_staying(self._console, self._board)
            await _until_cancelled()
        return verdict

    async def _round(self, stack: AsyncExitStack, *, beat_seconds: float) -> Verdict:
        """Everything that is started is put on ``stack``: the world stays while that is open."""
        clock, board = self._clock, self._board
        board.tell("starting a chain of its own")
        rpc_url, street = await stack.enter_async_context(local_chain(clock))
        observer = Observer(street, board, clock)
        world = await beside(
            build(street, rpc_url, self._folder, board, self._entropy), observer.blocks()
        )
        receiver = await stack.enter_async_context(Receiver(board))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        log = self._folder / _LOG
        board.tell("starting the daemon")
        running = await stack.enter_async_context(daemon(world.config, world.env, log))
        stage = Stage(world, Api(session, world.url), board, clock, self._entropy)
        stage.beat_seconds = beat_seconds
        try:
            return await beside(
                self._acts(stage, receiver, observer, log), running.died(), observer.blocks()
            )
        except DemoError:
            await running.blame()
            raise

    async def _acts(
        self, stage: Stage, receiver: Receiver, observer: Observer, log: Path
    ) -> Verdict:
        await wait_until_ready(stage)
        stage.board.tell("two shops open their accounts, and an invoice for each customer")
        await open_shops(stage, receiver)
        await open_invoices(stage, str(log))
        keys = [shop.key for shop in stage.shops]
        return await beside(_played(stage), observer.shops(stage.api, keys))

    def _forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


async def _played(stage: Stage) -> Verdict:
    await play(stage)
    stage.board.tell("counting everything again, ledger against chain")
    verdict = await judge(stage)
    stage.board.tell("done")
    return verdict


async def _until_cancelled() -> None:
    """Until the first signal, which here is the ordinary end and no interruption."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
