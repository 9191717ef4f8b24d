"""``bursar demo`` as a newcomer runs it: it agrees, and it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MARK = "DEMO_TEST_MARK"
ROUND_SECONDS = 150
STOP_SECONDS = 45
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")


@dataclass
class Demo:
    """One demo whose processes, all of them, carry a mark in their environment."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    def start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bursar", "demo", "--once"],
            env={**os.environ, MARK: self.mark, "TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def read_until(self, text: str) -> None:
        """Lines up to one that holds ``text``; the demo's own time-outs bound it."""
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"never said {text!r}:\n{''.join(self.lines)}")

    def pids(self) -> dict[int, str]:
        """Living processes with the mark, and their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(entry.name)] = command
            except OSError:
                continue  # ended meanwhile, or somebody else's
        return found

    def assert_nothing_left(self) -> None:
        assert self.pids() == {}
        assert list(self.folder.glob("bursar-demo-*")) == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    one = Demo(tmp_path)
    yield one
    for pid in one.pids():
        os.kill(pid, signal.SIGKILL)
    if one.process is not None:
        one.process.communicate()


def test_demo_once__one_round__agrees_to_the_unit_and_leaves_nothing(demo: Demo) -> None:
    out, err = demo.start().communicate(timeout=ROUND_SECONDS)
    assert demo.process is not None and demo.process.returncode == 0, f"{out}\n{err}"
    assert "ledger and chain agree to the unit" in out
    rows = re.findall(r"^  (.+?)  +(\S+)  +(\S+)  +(\S+) *$", out, re.MULTILINE)
    amounts = [row for row in rows if re.fullmatch(r"-?\d+\.\d+", row[1])]
    assert len(amounts) == 18, out
    for label, ledger, chain, off_by in amounts:
        assert (ledger, off_by) == (chain, "0"), label
    assert "80.123456789012345678" in out, "every decimal of the 18 is there"
    assert "left the chain" in out
    assert "\x1b" not in out + err, "control codes where there is no terminal"
    demo.assert_nothing_left()


@pytest.mark.parametrize("moment", ["deploying treasury", "starting the daemon", "customers pay"])
def test_demo__ctrl_c_twice_in_the_middle__leaves_nothing(demo: Demo, moment: str) -> None:
    process = demo.start()
    demo.read_until(moment)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # a second one, by an impatient person, while the first is being heeded
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 130
    demo.assert_nothing_left()


def test_demo__daemon_dies__says_so_and_ends(demo: Demo) -> None:
    process = demo.start()
    demo.read_until("customers pay")
    (daemon,) = [pid for pid, command in demo.pids().items() if command.endswith(" run ")]
    os.kill(daemon, signal.SIGKILL)
    _, err = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 1
    assert "the daemon ended with status -9" in err
    assert "Traceback" not in err
    assert demo.pids() == {}


def test_demo__once_and_keep__is_wrong_usage(demo: Demo) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bursar", "demo", "--once", "--keep"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "choose one" in done.stderr
