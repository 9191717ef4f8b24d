"""Hardhat's node for tests, in Anvil's place: another EVM, other answers, other errors.

It comes from npm as Anvil does. It asks for nothing over the network, and cannot:
the package that would report its use is replaced by an empty one in package.json.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from chain.anvil import DevRpc
from tests.support.postgres import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
_CLI: Final = ROOT / "node_modules" / "hardhat" / "internal" / "cli" / "bootstrap.js"
_CONFIG: Final = Path(__file__).with_name("hardhat.config.cjs")
_STARTED: Final = re.compile(r"Started HTTP .* at (http://[\d.:]+)")


class Hardhat:
    """One ``hardhat node`` process, stopped by its own id."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="hardhat-")
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.rpc_url = ""

    def start(self) -> None:
        """Start, and wait until it listens (a second or two)."""
        quiet = {"HARDHAT_DISABLE_TELEMETRY_PROMPT": "true", "CI": "true"}
        homes = {f"XDG_{kind}_HOME": self._folder for kind in ("DATA", "CONFIG", "CACHE")}
        self._process = subprocess.Popen(
            [
                "node", str(_CLI), "--config", str(_CONFIG),
                "node", "--hostname", "127.0.0.1", "--port", str(free_port()),
            ],
            env={**os.environ, **quiet, **homes, "HARDHAT_FOLDER": self._folder},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            found = _STARTED.search(re.sub(r"\x1b\[[0-9;]*m", "", line))
            if found is not None:
                self.rpc_url = found[1]
                break
        assert self.rpc_url, "Hardhat did not start: " + "".join(said)[-2000:]
        # It tells every request; a full pipe would stop it.
        self._reader = threading.Thread(target=self._process.stdout.read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)


class HardhatRpc(DevRpc):
    """Development calls under Hardhat's names."""

    async def call(self, method: str, *params: Any) -> Any:
        return await super().call(method.replace("anvil_", "hardhat_"), *params)


@pytest.fixture
def hardhat() -> Iterator[Hardhat]:
    """A fresh chain that mines one block per transaction."""
    if not _CLI.is_file():
        pytest.skip("Hardhat is not installed: run `make setup`")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("package.json leaves Hardhat's engine for other machines out")
    node = Hardhat()
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
async def hardhat_rpc(hardhat: Hardhat) -> AsyncIterator[DevRpc]:
    async with HardhatRpc(hardhat.rpc_url) as rpc:
        yield rpc
