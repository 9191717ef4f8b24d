"""Which logs are to our addresses: one look-up per log, whatever the number of addresses.

An address is kept as its last 8 bytes, in an open hash table of machine words:
16 MB for a million addresses, where a ``set`` of ``bytes`` takes 98 MB.
Addresses are hashes, so that their last bytes are a hash already. Two
addresses that share 8 bytes cost a look-up in the database, which has the last
word on whose address it is; none is ever missed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

from chain.codec import LogRow
from chain.model import TRANSFER_TOPIC, Log
from config.units import Address

FEW: Final = 500
"""Up to here full addresses are kept too, to be asked for by topic at the node."""
_SMALLEST: Final = 1 << 10


class AddressSet:
    """Deposit addresses in memory. ``in`` may say yes for a stranger, never no for ours."""

    def __init__(self, few: int = FEW) -> None:
        self._slots = array("Q", bytes(8 * _SMALLEST))
        self._mask = _SMALLEST - 1
        self._count = 0
        self._few_limit = few
        self._few: list[Address] | None = []

    def __len__(self) -> int:
        return self._count

    @property
    def few(self) -> tuple[Address, ...] | None:
        """All addresses while they are few, else ``None``."""
        return None if self._few is None else tuple(self._few)

    def add(self, addresses: Iterable[Address]) -> None:
        """Take these in; one that is known already changes nothing but its place among the few."""
        for address in addresses:
            if self._few is not None:
                self._few.append(address)
                if len(self._few) > self._few_limit:
                    self._few = None
            self._insert(int.from_bytes(address[-8:]) or 1)

    def __contains__(self, address: bytes) -> bool:
        return self.holds(int.from_bytes(address[-8:]))

    def holds(self, key: int) -> bool:
        """Whether an address with these last 8 bytes may be ours."""
        slots, mask = self._slots, self._mask
        key = key or 1  # 0 marks an empty slot
        place = key & mask
        while found := slots[place]:
            if found == key:
                return True
            place = (place + 1) & mask
        return False

    def _insert(self, key: int) -> None:
        if self._count * 2 >= len(self._slots):
            self._grow()
        slots, mask = self._slots, self._mask
        place = key & mask
        while found := slots[place]:
            if found == key:
                return
            place = (place + 1) & mask
        slots[place] = key
        self._count += 1

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        self._mask = len(self._slots) - 1
        self._count = 0
        for key in old:
            if key:
                self._insert(key)


class RowMatcher:
    """Picks the rows to our addresses out of a reply, and remembers what it saw.

    The rows are kept until the pass is committed: an address handed out in the
    meantime is looked for in them, so that a pass need not be read again for
    every new invoice.
    """

    def __init__(self, addresses: AddressSet) -> None:
        self._addresses = addresses
        self._replies: list[list[LogRow]] = []
        self._shown: list[Log] = []

    @property
    def read(self) -> int:
        """Logs seen."""
        return sum(len(rows) for rows in self._replies) + len(self._shown)

    def keep(self, rows: list[LogRow]) -> list[LogRow]:
        """The hook of :meth:`chain.client.ChainClient.transfer_logs`.

        :raises ValueError: a topic is not hexadecimal; the reply is refused.
        """
        self._replies.append(rows)
        holds = self._addresses.holds
        return [row for row in rows if len(row.topics) >= 3 and holds(int(row.topics[2][-16:], 16))]

    def take(self, logs: Iterable[Log]) -> list[Log]:
        """Transfers to our addresses among all logs of a block."""
        shown = [log for log in logs if len(log.topics) >= 3 and log.topics[0] == TRANSFER_TOPIC]
        self._shown += shown
        return [log for log in shown if log.topics[2] in self._addresses]

    def heights(self) -> set[int]:
        """Blocks that had any log at all in the replies."""
        return {int(text, 16) for rows in self._replies for text in {r.block_number for r in rows}}

    def any_to(self, addresses: Iterable[Address]) -> bool:
        """Whether a log seen so far is to one of these."""
        known = list(addresses)
        wanted, padded = {a.hex() for a in known}, {a.rjust(32, b"\0") for a in known}
        return any(log.topics[2] in padded for log in self._shown) or any(
            len(row.topics) >= 3 and row.topics[2][-40:].lower() in wanted
            for rows in self._replies
            for row in rows
        )
