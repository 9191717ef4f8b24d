"""What to ask the node for: everything, or only what is to a few addresses.

Both read the logs of *any* token, so that a token which is not registered is
recorded when it reaches a deposit address. Few addresses are asked for by
topic, which costs the node an index look-up; for many, the whole stream of
transfers is read and matched here, at a cost that does not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from chain.bloom import mask
from chain.model import TRANSFER_TOPIC
from config.units import Address
from watcher.match import AddressSet


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


def choose_filter(addresses: AddressSet, *, stream: bool = False) -> LogFilter:
    """By topic while the addresses are few.

    :param stream: read everything all the same: while invoices are being opened faster than
        a pass takes, a filter by address would be out of date each time it is answered.
    """
    return LogFilter(None if stream else addresses.few)
