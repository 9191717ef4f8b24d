"""``python -m benchmarks.replay SPEC``: serves until its standard input ends."""

from __future__ import annotations

import gc
import sys
import threading

import msgspec

from benchmarks.replay.chain import ChainSpec, build
from benchmarks.replay.server import Server


def main() -> None:
    """``SPEC``: a :class:`ChainSpec` as JSON. Prints the port once it listens."""
    spec = msgspec.json.decode(sys.argv[1], type=ChainSpec)
    gc.disable()
    server = Server(build(spec))
    threading.Thread(target=server.run, daemon=True).start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    sys.stdin.read()


main()
