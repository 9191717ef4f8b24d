"""Starting the server as a process of its own, and telling it what to show."""

from __future__ import annotations

import http.client
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from benchmarks.replay.chain import ChainSpec

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came to the server since it was last reset."""

    requests: dict[str, int]
    """HTTP requests by kind; ``poll``: looks at the head."""
    calls: dict[str, int]
    """JSON-RPC calls by method."""
    sent: int

    @property
    def total(self) -> int:
        return sum(self.requests.values())

    @property
    def billed(self) -> int:
        return sum(self.calls.values())

    def without(self, *kinds: str) -> int:
        """HTTP requests of all other kinds."""
        return self.total - sum(self.requests.get(kind, 0) for kind in kinds)


class Replay:
    """``with Replay(spec) as replay: replay.url``. Ends with this process, however that ends."""

    def __init__(self, spec: ChainSpec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        spec = msgspec.json.encode(self.spec).decode()
        command = [sys.executable, "-m", "benchmarks.replay", spec]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError("the replay server did not start")
        self._port = int(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def show(self, *, head: int | None = None, latency: float | None = None) -> None:
        """Set the newest block, and seconds that each request takes longer."""
        wanted = {"head": head, "latency": latency}
        self._control({key: value for key, value in wanted.items() if value is not None})

    def traffic(self) -> Traffic:
        """Counters since the last call of this."""
        told = self._control({"reset": True})
        return Traffic(told["requests"], told["calls"], told["sent"])

    def _control(self, wanted: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", "/control", msgspec.json.encode(wanted))
            return dict(msgspec.json.decode(connection.getresponse().read()))
        finally:
            connection.close()
