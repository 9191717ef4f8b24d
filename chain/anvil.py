"""A local Anvil for the demo, for developers and for every test that needs a real chain.

The binary comes from npm (``npm ci``), so that its version is pinned by the
lock file like everything else. Each process listens on 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from config.errors import BursarError

DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""Anvil's own public test mnemonic: worthless by design, never for a real chain."""

_LISTENING = re.compile(r"Listening on [\d.]+:(\d+)")
_START_TIMEOUT_SECONDS: Final = 30.0
_STOP_TIMEOUT_SECONDS: Final = 10.0
_KEPT_OUTPUT_LINES: Final = 40


class AnvilError(BursarError):
    """Anvil is not installed, did not start, or refused a development call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnvilOptions:
    """How to start one Anvil.

    :param port: 0 takes a free one.
    :param block_time: seconds between blocks; ``None`` mines one per transaction.
    :param slots_in_an_epoch: ``safe`` is the head minus this, ``finalized`` minus twice this.
    :param state: file to load the chain from at start and to dump it to at stop.
    :param create2_proxy: whether the deterministic deployment proxy exists at genesis.
    :param own_session: keep Ctrl-C at a terminal from it, so that whoever started it can first
        stop what uses the chain; a signal to the starter's process group does not end it either.
    :param extra: further command-line arguments, passed on as they are.
    """

    port: int = 0
    block_time: float | None = None
    chain_id: int = 31337
    hardfork: str = "prague"
    slots_in_an_epoch: int = 32
    mnemonic: str = DEV_MNEMONIC
    accounts: int = 10
    balance: int = 10_000
    state: Path | None = None
    create2_proxy: bool = True
    own_session: bool = False
    extra: Sequence[str] = ()

    def arguments(self) -> list[str]:
        """The command line after the binary's name."""
        given: list[tuple[str, object]] = [
            ("--host", "127.0.0.1"),
            ("--port", self.port),
            ("--chain-id", self.chain_id),
            ("--hardfork", self.hardfork),
            ("--slots-in-an-epoch", self.slots_in_an_epoch),
            ("--mnemonic", self.mnemonic),
            ("--accounts", self.accounts),
            ("--balance", self.balance),
        ]
        if self.block_time is not None:
            given.append(("--block-time", self.block_time))
        if self.state is not None:
            given.append(("--state", self.state))
        arguments = [str(part) for pair in given for part in pair]
        if not self.create2_proxy:
            arguments.append("--disable-default-create2-deployer")
        return [*arguments, *self.extra]


def find_anvil(root: Path | None = None) -> Path:
    """The Anvil binary: from ``node_modules`` of the project (or ``root``), else from the PATH.

    :raises AnvilError: found in neither.
    """
    base = root if root is not None else Path(__file__).resolve().parent.parent
    for package in sorted((base / "node_modules" / "@foundry-rs").glob("anvil-*")):
        for name in ("anvil", "anvil.exe"):
            binary = package / "bin" / name
            if binary.is_file():
                return binary
    on_path = shutil.which("anvil")
    if on_path is not None:
        return Path(on_path)
    raise AnvilError(
        "Anvil was not found, neither in node_modules nor on the PATH",
        where=str(base),
        remedy="run `make setup` (npm ci); on other systems than Linux x64 install Foundry "
        "(https://getfoundry.sh) or the npm package @foundry-rs/anvil",
    )


class Anvil:
    """One Anvil process: ``async with Anvil() as anvil: anvil.rpc_url``.

    Guarantees that the RPC port is open once started, and that the process is
    gone once stopped (it is stopped by its own process id only). Does not
    outlive a clean exit; a parent killed with SIGKILL leaves the child behind.
    Belongs to no event loop: one process can serve tests on many loops.
    """

    def __init__(self, options: AnvilOptions | None = None, *, binary: Path | None = None) -> None:
        self._options = options if options is not None else AnvilOptions()
        self._binary = binary
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self._output: list[str] = []
        self._reader: threading.Thread | None = None

    @property
    def options(self) -> AnvilOptions:
        return self._options

    @property
    def rpc_url(self) -> str:
        assert self._port, "Anvil has not been started"
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "Anvil has not been started"
        return self._process.pid

    def start(self) -> Self:
        """Start and wait until the port is open; blocking (about 0.1 s).

        :raises AnvilError: no binary, or the process ended before it listened.
        """
        assert self._process is None, "Anvil runs already"
        binary = self._binary if self._binary is not None else find_anvil()
        self._process = subprocess.Popen(  # noqa: S603 - our own binary, arguments as a list
            [str(binary), *self._options.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=self._options.own_session,
        )
        ports: queue.Queue[int | None] = queue.Queue()
        # The pipe is read for as long as the process lives: a full pipe would stop Anvil.
        self._reader = threading.Thread(
            target=self._read_output, args=(self._process, ports), name="anvil-output", daemon=True
        )
        self._reader.start()
        try:
            port = ports.get(timeout=_START_TIMEOUT_SECONDS)
        except queue.Empty:
            port = None
        if port is None:
            self.stop()
            raise AnvilError(
                "Anvil did not start: " + (" | ".join(self._output[-5:]).strip() or "no output"),
                where=str(binary),
                remedy="is the port free and the binary made for this machine?",
            )
        self._port = port
        return self

    def stop(self) -> None:
        """Stop the process, by its own id; harmless when it is gone already."""
        process, self._process, self._port = self._process, None, 0
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(timeout=_STOP_TIMEOUT_SECONDS)
        if process.stdout is not None:
            process.stdout.close()

    def _read_output(self, process: subprocess.Popen[str], ports: queue.Queue[int | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._output.append(line.rstrip())
            del self._output[:-_KEPT_OUTPUT_LINES]
            found = _LISTENING.search(line)
            if found is not None:
                ports.put(int(found[1]))
        ports.put(None)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


class DevRpc:
    """Bare JSON-RPC calls to a development node: ``anvil_mine``, ``evm_snapshot``, …

    No failover, no retries, no validation: for set-up in the demo and in tests.
    Money never travels through it in production code. Use as an async context
    manager, inside one event loop.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 60.0) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, *params: Any) -> Any:
        """The ``result`` of one call.

        :raises AnvilError: the node answered with an error; ``data`` holds its revert data.
        """
        assert self._session is not None, "use DevRpc as an async context manager"
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with self._session.post(self._url, json=request) as response:
            answer = await response.json()
        failure = answer.get("error")
        if failure is not None:
            raise DevRpcError(method, failure.get("message", ""), data=failure.get("data"))
        return answer["result"]


class DevRpcError(AnvilError):
    """The development node answered with a JSON-RPC error.

    :param data: the error's ``data`` field as sent, for a revert its bytes as ``0x…``.
    """

    def __init__(self, method: str, message: str, *, data: object = None) -> None:
        self.data = data
        super().__init__(message, where=method)
