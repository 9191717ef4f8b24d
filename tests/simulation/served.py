"""Many runs of the program from one start: its imports take as long as a short seed.

``python -m tests.simulation.served`` reads lines, each the JSON array of one run's arguments. For
each it forks, is in the child what ``python -m tests.simulation`` is with these arguments, and
writes a line: a JSON array of exit status, standard output and standard error.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """One run of the program, by the server of this process."""
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    try:
        print(json.dumps(list(arguments)), file=server.stdin, flush=True)
        status, output, errors = json.loads(server.stdout.readline())
    except BaseException:  # a test's time is up, say: the next must not get this one's answer
        _end(server)
        _server.cache_clear()
        raise
    return subprocess.CompletedProcess(list(arguments), status, output, errors)


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.simulation.served"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()


def main() -> None:
    from tests.simulation import command
    from tests.simulation.image import template_database
    from tests.simulation.town import keyring

    # What the program makes before its first seed, and children only look at.
    template_database()
    keyring()
    gc.freeze()
    for line in sys.stdin:
        with TemporaryFile() as output, TemporaryFile() as errors:
            child = os.fork()
            if not child:
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                command.main(json.loads(line))
                return
            _, status = os.waitpid(child, 0)
            answer = [os.waitstatus_to_exitcode(status), _text(output), _text(errors)]
        print(json.dumps(answer), flush=True)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main()
