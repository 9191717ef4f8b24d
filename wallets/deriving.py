"""Addresses for somebody who will need many: derived by a process beside the one that stores them.

Deriving takes a third of what an invoice costs an import, and needs nothing but the xpub. The other
process is told the key on its standard input, never on its command line, and answers each range of
indexes with its addresses, 20 bytes each.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from config.units import Address
from wallets.derivation import HARDENED, DepositDeriver

AHEAD: Final = 2
"""Ranges under way: their answers fit in a pipe, so neither side waits for the other to read."""
MOST: Final = 1_000
"""Indexes of a range: two answers of so many are 40 kB of the 64 kB that a pipe holds on Linux."""
_BYTES: Final = 20


class DerivedAhead:
    """As :meth:`DepositDeriver.addresses`, for ranges that mostly follow each other.

    Whatever happens to the other process, the addresses are those of the deriver: what it
    does not answer is derived here.
    """

    def __init__(self, deriver: DepositDeriver, process: subprocess.Popen[bytes] | None) -> None:
        self._deriver = deriver
        self._process = process
        self._asked: deque[tuple[int, int]] = deque()

    def addresses(self, start: int, count: int) -> Sequence[Address]:
        """``count`` addresses from index ``start``.

        :raises WalletError: as :meth:`DepositDeriver.address`.
        """
        found = self._answer(start, count)
        self._ask_on(start + count, count)
        return self._deriver.addresses(start, count) if found is None else found

    def _answer(self, start: int, count: int) -> list[Address] | None:
        """What was asked for before and is this range; others that come first are dropped."""
        while self._asked and self._process is not None:
            asked = self._asked.popleft()
            answer = self._read(_BYTES * asked[1])
            if answer is not None and asked == (start, count):
                if answer[:_BYTES] != self._deriver.address(start):
                    self._process = None  # of another key, or another program
                    return None
                return [Address(answer[at : at + _BYTES]) for at in range(0, len(answer), _BYTES)]
        return None

    def _read(self, size: int) -> bytes | None:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.read(size)
        if len(answer) == size:
            return answer
        self._process = None
        return None

    def _ask_on(self, start: int, count: int) -> None:
        """The next ranges of the same size, unless they are under way."""
        if self._asked:
            start = self._asked[-1][0] + self._asked[-1][1]
        while self._process is not None and len(self._asked) < AHEAD:
            if not 0 < count <= MOST or start + count > HARDENED:
                return
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(start.to_bytes(4, "big") + count.to_bytes(4, "big"))
                self._process.stdin.flush()
            except OSError:
                self._process = None
                return
            self._asked.append((start, count))
            start += count


@contextmanager
def deriving_beside(deriver: DepositDeriver) -> Iterator[DerivedAhead]:
    """A process that derives, ended with the block; without one where none can be started."""
    try:
        process = subprocess.Popen(
            # -P: not what lies in the folder that the command is given in.
            [sys.executable, "-P", "-m", "wallets.deriving"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        yield DerivedAhead(deriver, None)
        return
    try:
        yield DerivedAhead(deriver, process if _told(process, deriver) else None)
    finally:
        process.kill()
        process.communicate()


def _told(process: subprocess.Popen[bytes], deriver: DepositDeriver) -> bool:
    assert process.stdin is not None
    try:
        process.stdin.write(deriver.xpub.encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return False
    return True


def answer(wanted: BinaryIO, answers: BinaryIO) -> None:
    """What the other process does, until its input ends."""
    deriver = DepositDeriver(wanted.readline().decode().strip())
    while len(question := wanted.read(8)) == 8:
        start, count = int.from_bytes(question[:4], "big"), int.from_bytes(question[4:], "big")
        answers.write(b"".join(deriver.addresses(start, count)))
        answers.flush()


if __name__ == "__main__":
    answer(sys.stdin.buffer, sys.stdout.buffer)
