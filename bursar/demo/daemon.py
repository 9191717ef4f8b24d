"""The daemon as the demo runs it: a process of its own, its log in a file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from bursar.demo.errors import DemoError

STOP_SECONDS: Final = 25.0
"""It promises 20; after this it is killed."""
_MOMENT_SECONDS: Final = 0.5
_COMMAND: Final = (sys.executable, "-m", "bursar")


def environment(environ: Mapping[str, str], **own: str) -> dict[str, str]:
    """What our processes see: nothing of an installation that may be configured on this machine."""
    kept = {name: value for name, value in environ.items() if not name.startswith("BURSAR_")}
    return {**kept, **own}


class Daemon:
    """A running ``bursar run``."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log

    async def died(self) -> None:
        """Returns never; :raises DemoError: the daemon ended by itself."""
        status = await self._process.wait()
        raise DemoError(f"the daemon ended with status {status}", where=str(self.log))

    async def blame(self) -> None:
        """:raises DemoError: the daemon has ended, which explains why nobody answered."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.died(), _MOMENT_SECONDS)

    async def stop(self) -> None:
        """SIGTERM to its own process id; SIGKILL if it does not heed that in time."""
        await _stop(self._process)


@asynccontextmanager
async def daemon(config: Path, env: Mapping[str, str], log: Path) -> AsyncIterator[Daemon]:
    """The daemon for as long as the context is open, however it is left."""
    with log.open("wb") as sink:
        # A session of its own: Ctrl-C at the terminal is for the demo, which then stops the
        # daemon in order, while the chain is still there.
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            "--config",
            str(config),
            "run",
            env=env,
            cwd=config.parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    running = Daemon(process, log)
    try:
        yield running
    finally:
        await running.stop()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """The end of a log, or nothing where there is none."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
