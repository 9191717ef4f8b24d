"""Which logs are to our addresses: one look-up per log, whatever the number of addresses.

Addresses are known by the hash of their 40 digits, as nodes spell them in a topic, because
Python hashes a text in C (what stands before them is looked at when the log is decoded).
Two stages, each one piece of memory:

- a table with one byte in eight set at most (8 MB for a million addresses), which turns
  most strangers away in a loop that never leaves C;
- an open hash table of 64-bit hashes (16 MB; a ``set`` of ``bytes`` takes 98 MB).

The hash is keyed anew in each process, so that nobody can make addresses that collide.
A stranger who does costs a look-up in the database, which has the last word on whose
address it is; none of ours is ever missed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import compress
from operator import attrgetter, itemgetter
from typing import Final

from chain.codec import LogRow
from chain.log_page import SlimLog, SlimTopics, third_topic
from chain.model import TRANSFER_TOPIC, Log
from config.units import Address

FEW: Final = 500
"""Up to here full addresses are kept too, to be asked for by topic at the node. Nodes take twice
as many values in one request; what so many cost the node itself is not measured."""
_SMALLEST: Final = 1 << 10
_BYTES_EACH: Final = 8
_WORD: Final = (1 << 64) - 1
_TRANSFER_TEXT: Final = "0x" + TRANSFER_TOPIC.hex()
_DIGITS: Final = 40
_BETWEEN: Final = ","

Row = SlimLog | LogRow


_third_slim: Final = attrgetter("topics.third")
_digits: Final = itemgetter(slice(-_DIGITS, None))


def _key(digits: str) -> int:
    """A word that is never 0, which marks an empty slot; its low bits are those of the hash."""
    return hash(digits) & _WORD or _WORD + 1 >> 1


class AddressSet:
    """Deposit addresses in memory. ``in`` may say yes for a stranger, never no for ours."""

    def __init__(self, few: int = FEW) -> None:
        self._few_limit = few
        self._few: list[Address] | None = []
        self._allocate(_SMALLEST)

    def _allocate(self, room: int) -> None:
        """:param room: addresses to hold without growing; a power of two."""
        self._room = room
        self._slots = array("Q", bytes(16 * room))
        self._mask = 2 * room - 1
        self._marks = bytearray(room * _BYTES_EACH)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def few(self) -> tuple[Address, ...] | None:
        """All addresses while they are few, else ``None``."""
        return None if self._few is None else tuple(self._few)

    def reserve(self, count: int) -> None:
        """Make room for so many in all at once."""
        if count > self._room:
            self._grow(1 << (count - 1).bit_length())

    def add(self, addresses: Iterable[Address]) -> None:
        """Take these in; one that is known already changes nothing but its place among the few."""
        self.add_text("".join(address.hex() for address in addresses))

    def add_text(self, digits: str) -> None:
        """As :meth:`add`; 40 lower-case hexadecimal digits an address, one after the other."""
        places = range(0, len(digits), _DIGITS)
        if self._few is not None:
            if len(self._few) + len(places) > self._few_limit:
                self._few = None
            else:
                self._few += [Address(bytes.fromhex(digits[i : i + _DIGITS])) for i in places]
        if self._count + len(places) > self._room:
            self._grow(1 << (self._count + len(places) - 1).bit_length())
        insert = self._insert
        for i in places:
            insert(_key(digits[i : i + _DIGITS]))

    def __contains__(self, topic: bytes) -> bool:
        """:param topic: an address, or 32 bytes that end with one."""
        return self._holds(topic[-20:].hex())

    def places(self, addresses: Sequence[str]) -> list[int]:
        """Positions of ours among these, 40 lower-case digits each."""
        slot = (len(self._marks) - 1).__and__
        marks = map(self._marks.__getitem__, map(slot, map(hash, addresses)))
        likely = compress(range(len(addresses)), marks)
        return [i for i in likely if self._holds(addresses[i])]

    def _holds(self, digits: str) -> bool:
        slots, mask = self._slots, self._mask
        key = _key(digits)
        place = key & mask
        while found := slots[place]:
            if found == key:
                return True
            place = (place + 1) & mask
        return False

    def _insert(self, key: int) -> None:
        slots, mask = self._slots, self._mask
        place = key & mask
        while found := slots[place]:
            if found == key:
                return
            place = (place + 1) & mask
        slots[place] = key
        self._count += 1
        self._marks[key & (len(self._marks) - 1)] = 1

    def _grow(self, room: int) -> None:
        old = self._slots
        self._allocate(room)
        for key in old:
            if key:
                self._insert(key)


def _recipients(rows: Sequence[Row]) -> list[str]:
    """Digits of whom each log names; ``""`` for a token that indexes less than it should."""
    if not rows:
        return []
    first = rows[0].topics
    if isinstance(first, SlimTopics):
        event, named = first.event, map(_third_slim, rows)
    else:
        event, named = "".join(first[:1]), map(third_topic, rows)
    recipients = list(map(_digits, named))
    if event != _TRANSFER_TEXT:
        # A node spells all of a reply alike: one that writes capitals does so here too.
        return [digits.lower() for digits in recipients]
    return recipients


class RowMatcher:
    """Picks the logs to our addresses out of a reply, and remembers whom it named.

    What was seen is kept until the pass is committed: an address handed out in the
    meantime is looked for in it, so that a pass need not be read again for every
    new invoice. Of each log 41 bytes are kept, its recipient in one text per reply: what was
    read ahead must not weigh what its rows did (some 600).
    """

    def __init__(self, addresses: AddressSet) -> None:
        self._addresses = addresses
        self._read = 0
        self._named: list[str] = []
        self._heights: set[str] = set()
        self._shown: list[Log] = []

    @property
    def read(self) -> int:
        """Logs seen."""
        return self._read + len(self._shown)

    def keep(self, rows: Sequence[Row]) -> list[int]:
        """The hook of :meth:`chain.client.ChainClient.transfer_logs`: positions of ours."""
        recipients = _recipients(rows)
        self._heights.update({row.block_number for row in rows})
        self._read += len(recipients)
        self._named.append(_BETWEEN.join(recipients))
        return self._addresses.places(recipients)

    def take(self, logs: Iterable[Log]) -> list[Log]:
        """Transfers to our addresses among all logs of a block."""
        shown = [log for log in logs if len(log.topics) >= 3 and log.topics[0] == TRANSFER_TOPIC]
        self._shown += shown
        return [log for log in shown if log.topics[2] in self._addresses]

    def heights(self) -> set[int]:
        """Blocks that had any log at all in the replies."""
        return {int(text, 16) for text in self._heights}

    def any_to(self, addresses: Iterable[Address]) -> bool:
        """Whether a log seen so far is to one of these."""
        wanted = {address.hex() for address in addresses}
        return any(log.topics[2][-20:].hex() in wanted for log in self._shown) or not all(
            wanted.isdisjoint(named.split(_BETWEEN)) for named in self._named
        )
