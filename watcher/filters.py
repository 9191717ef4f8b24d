"""What to ask the node for: everything, or only what is to a few addresses. Chosen by cost.

Both read the logs of *any* token, so that a token which is not registered is
recorded when it reaches a deposit address. Few addresses are asked for by
topic, which costs the node an index look-up and us a little for each of them;
otherwise the whole stream of transfers is read and matched here, at a cost that
grows with the transfers in a block and not with the addresses.

Measured (``python -m benchmarks filters``), for a block at the head:

======================  ============================  ======================
one more …              CPU                           on the line
======================  ============================  ======================
address in the filter   0.20 µs: request, bloom       69 bytes sent
log in the answer       1.2 µs: JSON, match           630 bytes received
======================  ============================  ======================

So six addresses cost what a log costs, by bytes nine: the smaller number counts. How many logs
there are in a block is measured too: by its bloom, which comes with the header, whatever was
asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log1p
from typing import Final

from chain.bloom import mask
from chain.model import TRANSFER_TOPIC, BlockHeader
from config.units import Address
from watcher.match import AddressSet

ADDRESSES_PER_LOG: Final = 6
"""So many addresses in a filter cost as much as one log in an answer; see above."""
ALWAYS_BY_TOPIC: Final = 100
"""Up to here a filter costs 20 µs a block at most: no choice could save more."""
_MARGIN: Final = 1.25
"""The other way has to be cheaper by this: a change throws away what was read ahead."""
_BLOOM_BITS: Final = 2048
_BITS_AN_ITEM: Final = 3
_ITEMS_A_LOG: Final = 2
"""Sender and recipient; the token and the event are those of many others."""
_WEIGHT: Final = 0.2
"""Of the newest reading in the running mean."""


@dataclass(frozen=True)
class LogFilter:
    """``recipients``: asked for by topic; ``None``: every transfer is read."""

    recipients: tuple[Address, ...] | None

    @property
    def asks_nothing(self) -> bool:
        """There is nobody to be paid yet: no logs are asked for."""
        return self.recipients == ()

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """Bloom bits of each kind of log that would pass."""
        topic = mask(TRANSFER_TOPIC)
        if self.recipients is None:
            return (topic,)
        return tuple(topic | mask(address.rjust(32, b"\0")) for address in self.recipients)


def logs_in(logs_bloom: bytes) -> float:
    """About how many logs a block holds, by how full its bloom is.

    *k* items set ``2048 (1 - exp(-3k / 2048))`` bits on average. A full bloom says *very many*.
    """
    empty = max(1, _BLOOM_BITS - int.from_bytes(logs_bloom).bit_count())
    items = -log1p(empty / _BLOOM_BITS - 1) * _BLOOM_BITS / _BITS_AN_ITEM
    return items / _ITEMS_A_LOG


def cheaper_by_topic(addresses: int, logs_per_block: float | None, *, now: bool) -> bool:
    """Whether asking for so many addresses costs less than reading everything.

    :param logs_per_block: ``None``: not known yet.
    :param now: whether they are asked for by topic at present.
    """
    if addresses <= ALWAYS_BY_TOPIC or logs_per_block is None:
        return True
    worth = logs_per_block * ADDRESSES_PER_LOG
    return addresses < (worth * _MARGIN if now else worth / _MARGIN)


class FilterChoice:
    """The filter of a chain, held while nothing speaks for another one."""

    def __init__(self) -> None:
        self._logs_per_block: float | None = None
        self._by_topic = True
        self._held = LogFilter(())

    def saw(self, headers: Sequence[BlockHeader]) -> None:
        """Blocks that were read."""
        mean = sum(logs_in(header.logs_bloom) for header in headers) / len(headers)
        before = mean if self._logs_per_block is None else self._logs_per_block
        self._logs_per_block = before + _WEIGHT * (mean - before)

    def choose(self, addresses: AddressSet, *, stream: bool = False) -> LogFilter:
        """By topic where that is cheaper, and possible: the addresses are few.

        :param stream: read everything all the same: while invoices are being opened faster
            than a pass takes, a filter by address would be out of date each time it is answered.
        """
        few = addresses.few
        if few is not None:
            self._by_topic = cheaper_by_topic(len(few), self._logs_per_block, now=self._by_topic)
        found = LogFilter(None if stream or not self._by_topic else few)
        if found != self._held:
            self._held = found  # else the one at hand, which knows its bloom bits already
        return self._held
